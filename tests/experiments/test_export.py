"""From a run to a file and back, without experiments: every family's denoiser, and the images that it draws."""

import dataclasses
import importlib
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import EXPERIMENTS, export
from experiments.harness import generate, runs
from jaxdiff.interop import exported
from jaxdiff.interop.exported import networks
from tests.support import tiny
from tests.support.commands import called, python, refused
from tests.support.tiers import full

OTHERS = {
    "consistency_digits": {"method": "ct"},
    "consistency_cifar": {"method": "sct"},
    "score_sde_digits": {"sde": "ve"},
    "score_sde_cifar": {"sde": "subvp"},
    "edm_cifar": {"recipe": "uncond_ve", "row": "C"},
    "ddpm_cifar": {"recipe": "ho2020"},
}
"""Flags of a run without a teacher, or of the less common kind."""
ANSWERS = {
    "denoiser": lambda model, labels: model.denoiser(labels),
    "consistency": lambda model, labels: model.consistency_fn(labels),
    "x0_sampler": lambda model, labels: model.x0_sampler(),
}


@pytest.fixture
def tiny_table(tiny_networks, monkeypatch):
    """Tiny networks may leave too."""
    monkeypatch.setitem(networks.NETWORKS, "Pixelwise", networks.Row(tiny.Pixelwise))
    monkeypatch.setitem(networks.NETWORKS, "Generator", networks.Row(tiny.Generator, networks.of_latent))


def built(name, tmp_path, **flags):
    """The config of a smoke run, and its system."""
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    flags = {**OTHERS.get(name, {}), **flags}
    config = experiment.smoke(experiment.resolve(experiment.config(**flags, workdir=tmp_path)))
    return config, experiment.system(config)


def random_params(system):
    """Zeros would hide what a parametrisation does."""
    rng = np.random.default_rng(0)
    like = jax.eval_shape(system.init, jax.random.key(0))
    return jax.tree.map(lambda a: (0.3 * rng.normal(size=a.shape)).astype(np.float32), like)


def as_drawn(name, params):
    """What the system's denoiser takes."""
    from experiments.systems.consistency_methods import Trainable

    return Trainable(params, ()) if name.startswith("consistency") else params


@pytest.mark.parametrize(
    "name",
    [n if n in ("edm_digits", "ddgan_digits") else pytest.param(n, marks=pytest.mark.full) for n in EXPERIMENTS],
)
def test_every_network_comes_back(tmp_path, name):
    """The experiments' own, before tiny ones take their place: all fields, and arrays of their names and shapes."""
    config, system = built(name, tmp_path)
    params = random_params(system)
    exported.save(
        tmp_path / "a.safetensors", system.exportable.module, params, export.describe(system, config.num_steps, {})
    )
    model = exported.load(tmp_path / "a.safetensors")
    assert type(model.module) is type(system.exportable.module)
    for field in dataclasses.fields(model.module):
        if field.name not in networks.NOT_SAVED:
            ours, theirs = getattr(system.exportable.module, field.name), getattr(model.module, field.name)
            assert ours == theirs or list(ours) == list(theirs), field.name
    jax.tree.map(np.testing.assert_array_equal, model.params, params)


WITHOUT_LATENT = [(name, {"latent_dim": 0}) for name in ("ddgan_digits", "ddgan_cifar")]
"""An ablation, in which the paper's generator is given zeros."""


@pytest.mark.parametrize(
    ("name", "flags"),
    [*((name, {}) for name in EXPERIMENTS), *full(*WITHOUT_LATENT)],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_every_family_s_denoiser_comes_back(tiny_table, tmp_path, name, flags):
    """The same numbers, to the bit, in one compiled program each."""
    config, system = built(name, tmp_path, **flags)
    params = random_params(system)
    description = export.describe(system, config.num_steps, {"experiment": name})
    exported.save(tmp_path / "a.npz", system.exportable.module, params, description)
    model = exported.load(tmp_path / "a.npz")
    labels = jnp.arange(3) if system.num_classes else None
    rest = (jnp.ones((3, system.latent_dim)),) if system.latent_dim is not None else ()
    x, sigma = jax.random.normal(jax.random.key(1), (3, *system.shape)), jnp.array([0.1, 1.0, 3.0])
    ours = jax.jit(lambda params: system.denoiser(params, labels)(x, sigma, *rest))
    theirs = jax.jit(lambda params: ANSWERS[description.kind](model._replace(params=params), labels)(x, sigma, *rest))
    expected = np.asarray(ours(as_drawn(name, params)))
    assert np.isfinite(expected).all()
    assert expected.std() > 0
    np.testing.assert_array_equal(theirs(model.params), expected)
    np.testing.assert_array_equal(model.sigmas, np.asarray(system.sampling(config.num_steps).sigmas))


def test_an_export_draws_the_images_of_its_run(smoke_run, tiny_table, tmp_path, capfd):
    workdir, _ = smoke_run
    called("export", "--workdir", workdir, "--out", tmp_path / "a.safetensors")
    assert "(average) written to" in capfd.readouterr().out
    called("export", "--workdir", workdir, "--out", tmp_path / "a.npz")  # whose description is the same
    called("export", "--workdir", workdir, "--out", tmp_path / "b.npz", "--params", "last")
    assert {path.name for path in tmp_path.iterdir()} == {"a.safetensors", "a.npz", "a.json", "b.npz", "b.json"}
    first, second, last = (exported.load(tmp_path / name) for name in ("a.safetensors", "a.npz", "b.npz"))
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
    trained = runs.load(workdir)
    jax.tree.map(np.testing.assert_array_equal, first.params, jax.device_get(trained.params))
    state = trained.step, first.description.about
    assert state == (8, {"experiment": "edm_digits", "step": 8, "params": "average"})
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (first.params, last.params)), strict=True))
    described = json.loads((tmp_path / "a.json").read_text())
    assert described["network"]["name"] == "Pixelwise"

    drawn, labels = generate.read(workdir / "samples.npz")
    system = trained.system._replace(denoiser=lambda params, labels: first._replace(params=params).denoiser(labels))
    sampling = trained.system.sampling(trained.config.num_steps)
    request = generate.Request(sampling.sampler, first.sigmas, np.arange(len(drawn)), labels)
    images = np.concatenate(list(generate.draw(system, first.params, request, progress=False)))
    np.testing.assert_array_equal(images, drawn)


def test_what_cannot_be_exported_is_said_before_anything_is_written(
    smoke_run, tiny_table, tmp_path, monkeypatch, capfd
):
    workdir, _ = smoke_run
    said = partial(refused, "export", monkeypatch=monkeypatch, capfd=capfd)
    ask = lambda out, folder=workdir, *flags: said(["--workdir", folder, "--out", out, *flags])  # noqa: E731
    assert "--out must end in .safetensors or .npz, got" in ask(tmp_path / "a.pt")
    assert "is there already: choose another name, or --overwrite it" in ask(there(tmp_path / "there.npz"))
    assert "is there already" in ask(there(tmp_path / "here.json").with_suffix(".npz"))
    assert "does not exist: is" in ask(tmp_path / "a.npz", tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text((workdir / "config.json").read_text())
    assert "has no checkpoint yet: train it first" in ask(tmp_path / "a.npz", empty)
    monkeypatch.delitem(networks.NETWORKS, "Pixelwise")
    assert "Pixelwise is none of the networks that can be exported: SongUNet" in ask(tmp_path / "a.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "here.json", "there.npz"]


def there(path: Path) -> Path:
    path.write_text("{}")
    return path


def test_a_description_that_is_another_s_is_no_export(tmp_path):
    """Where a system says one parametrisation and its description another."""
    config, system = built("edm_digits", tmp_path)
    described = system.exportable.description._replace(precond={"name": "edm", "sigma_data": 0.4})
    other = system._replace(exportable=system.exportable._replace(description=described))
    with pytest.raises(ValueError, match="has another c_skip: this run cannot be exported"):
        export.describe(other, config.num_steps, {})
    with pytest.raises(ValueError, match="this run cannot be exported: no description says"):
        export.describe(built("ddgan_digits", tmp_path, direct=True)[1], 4, {})


@pytest.mark.full
def test_loading_needs_no_experiments(tmp_path):
    config, system = built("ddgan_digits", tmp_path)
    path = tmp_path / "a.safetensors"
    exported.save(path, system.exportable.module, random_params(system), export.describe(system, config.num_steps, {}))
    code = (
        f"import sys\nfrom jaxdiff.interop import exported\nmodel = exported.load({str(path)!r})\n"
        "draw = model.x0_sampler()\nprint([m for m in ('experiments', 'orbax', 'tyro', 'sklearn') if m in sys.modules])"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "[]", done.stderr
