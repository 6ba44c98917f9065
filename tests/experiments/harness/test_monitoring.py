"""Flags that watch a run: what they leave, what they refuse, and that they change no number."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import ddgan_25gaussians
from experiments.harness import claim, experiment, forms, generate, monitoring, runs, training, workdir
from experiments.harness.image_grid import image_grid
from experiments.systems import points
from jaxdiff.imports import MissingExtra
from jaxdiff.train.checkpoint import Checkpoints
from tests.support import watched_run
from tests.support.commands import ROOT, refused
from tests.support.monitored import scalars, shown

CONFIG = watched_run.CONFIG


def grids(folder):
    return {int(path.stem): np.asarray(Image.open(path)) for path in sorted((folder / "grids").iterdir())}


def tiles(image, above=20):
    """The grid of 8 x 10 images of 4 x 4, without the line of headings above and the caption below."""
    height, width = ((count * 5 + 1) * 16 for count in (8, 10))
    return image[above : above + height, :width].astype(int)


@pytest.mark.parametrize("classes", [0, 10])
def test_a_grid_is_what_samples_png_would_be(tmp_path, classes):
    config = replace(CONFIG, workdir=tmp_path)
    state = watched_run.train(config, classes)
    found = grids(tmp_path)
    assert list(found) == [2, 4, 6]
    system, seeds = watched_run.system(classes), np.arange(80)
    plan = system.sampling(config.num_steps)
    request = generate.Request(plan.sampler, plan.sigmas, seeds, generate.balanced_labels(seeds, classes))
    (images,) = generate.draw(system, state.ema, request, progress=False)
    expected = forms.sheet(system.form, images, seeds, request.labels, f"Step 6. {plan.about}")
    assert np.abs(found[6].astype(int) - expected).max() <= 1, "filled up, it may round otherwise"
    assert np.abs(tiles(found[2], above=0) - tiles(found[6], above=0)).max() > 1


def test_monitoring_changes_no_number(tmp_path):
    """Checkpoints and metrics of a run that is watched in every way are those of one that is not, bit by bit."""
    plain = replace(CONFIG, workdir=tmp_path / "plain", grid_every=0)
    full = replace(CONFIG, workdir=tmp_path / "full", tensorboard=True, grid_every=1, profile=2)
    states = [watched_run.train(config) for config in (plain, full)]
    assert not (plain.workdir / "grids").exists()
    for step in (3, 6):
        saved = []
        for config, state in zip((plain, full), states, strict=True):
            checkpoints = Checkpoints(config.workdir)
            assert step in checkpoints.steps()
            saved.append(checkpoints.checkpointer.checkpointables_metadata(step).custom_metadata)
            restored = checkpoints.restore(state)
            assert restored.step == 6
            for a, b in zip(jax.tree.leaves(restored.state), jax.tree.leaves(states[0]), strict=True):
                np.testing.assert_array_equal(a, b)
        assert saved[0] == saved[1], "checksums of every array, the data's position, the config"
    lines = [
        [json.loads(line) for line in (c.workdir / "metrics.jsonl").read_text().splitlines()] for c in (plain, full)
    ]
    for line in (*lines[0], *lines[1]):
        line.pop("images_per_second")
    assert lines[0] == lines[1]


def test_a_run_goes_on_with_other_flags(tmp_path):
    """One program draws all its grids; TensorBoard is given the second half only."""
    folder = tmp_path / "run"
    half = replace(CONFIG, workdir=folder, steps=3, grid_every=0)
    watched_run.train(half)
    watched_run.train(replace(half, steps=6, grid_every=2, tensorboard=True))
    assert list(grids(folder)) == [4, 6]
    assert [step for step, _ in scalars(folder / "tensorboard", "loss")] == [4, 6]
    assert [step for step, tag, _ in shown(folder / "tensorboard") if tag == "samples"] == [4, 6]


def test_flags_are_not_part_of_what_a_run_is(tmp_path):
    folder = tmp_path / "run"
    config = watched_run.CONFIG
    for changed in (config, replace(config, tensorboard=True, wandb="x", grid_every=7, profile=3)):
        with claim.claimed(folder, claim.Owner("edm_digits", changed)):
            pass
    assert not set(json.loads((folder / "config.json").read_text())) & set(monitoring.Monitoring.__dataclass_fields__)
    assert set(monitoring.Monitoring.__dataclass_fields__) <= set(workdir.WHERE)


def test_one_program_draws_all_grids(tmp_path):
    traces = []
    system = watched_run.system()

    def denoiser(params, labels):
        traces.append(1)
        return system.denoiser(params, labels)

    preview = monitoring.grid(system._replace(denoiser=denoiser), 3, tmp_path / "grids", 1)
    state = training.trainer(CONFIG, system).create(jax.random.key(0))
    first, again = preview(1, state), preview(2, state)
    assert len(traces) == 1
    np.testing.assert_array_equal(tiles(first), tiles(again))
    assert (first != again).any(), "the caption names the step"
    assert sorted(path.name for path in (tmp_path / "grids").iterdir()) == ["00000001.png", "00000002.png"]


def test_what_is_not_finite_is_said(tmp_path):
    preview = monitoring.grid(watched_run.system(), 3, tmp_path / "grids", 1)
    state = training.trainer(CONFIG, watched_run.system()).create(jax.random.key(0))
    with pytest.raises(FloatingPointError, match="not finite"):
        preview(1, state._replace(ema=jax.tree.map(lambda a: a * np.nan, state.ema)))
    assert not (tmp_path / "grids").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"grid_every": -1}, "--grid-every must be at least 0, got -1"),
        ({"profile": -2}, "--profile must be at least 0, got -2"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        training.check(replace(CONFIG, **change))


@pytest.mark.parametrize(("flag", "value", "package"), [("tensorboard", True, "tensorboardX"), ("wandb", "p", "wandb")])
def test_a_missing_package_is_refused_before_anything_is_written(monkeypatch, flag, value, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"needs {package}: pip install 'jaxdiff\[{flag}\]'$"):
        training.check(replace(CONFIG, **{flag: value}))
    training.check(CONFIG)


def test_points_are_previewed_as_scatter_plots(tmp_path):
    assert ddgan_25gaussians.Config().grid_every == points.Config().grid_every == 0
    config = points.smoke(points.Config(workdir=tmp_path / "b", tensorboard=True, grid_every=100))
    experiment.trained(points.experiment_of("points_edm", points.edm_system), config)
    assert [step for step, _ in scalars(tmp_path / "b" / "tensorboard", "loss")] == [100, 200]
    found = grids(config.workdir)
    assert list(found) == [100, 200]
    assert all(image.shape[1:] == (600, 3) and len(image) > 600 for image in found.values()), "with a caption"


def test_a_share_of_points_cannot_be_held_out(tmp_path, monkeypatch, capfd):
    flags = ["--smoke", "--held-out", "0.5", "--workdir", tmp_path / "a"]
    assert "--held-out is for a folder or zip of images, and 25gaussians has" in refused(
        "ddgan_25gaussians", flags, monkeypatch, capfd
    )
    assert not (tmp_path / "a").exists()


def test_the_smoke_run_was_watched(smoke_run):
    """conftest's run is given these flags; it is resumed and read without them by other tests."""
    folder, said = smoke_run
    found = grids(folder)
    assert list(found) == [4, 8]
    assert all(image.shape[1] == 10 * 72 + 8 and len(image) > 20 + 8 * 72 + 8 for image in found.values())
    assert [step for step, _ in scalars(folder / "tensorboard", "loss")] == [2, 4, 6, 8]
    assert "steps 2 to 4 are traced in" in said
    assert list((folder / "profile").rglob("perfetto_trace.json.gz"))
    config, _ = runs.of_run(folder)
    assert not config.tensorboard


def launch(folder, fsdp, devices, *place):
    environment = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    flags = [sys.executable, "-m", "tests.support.watched_run", folder, fsdp, *place]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        list(map(str, flags)), cwd=ROOT, env={**os.environ, **environment}, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.full
def test_grids_of_many_devices_and_processes(tmp_path):
    """Two processes with three devices each, the parameters cut over two: as from one device, to a grey value."""
    watched_run.train(replace(CONFIG, workdir=tmp_path / "one"))
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    for process in [launch(tmp_path / "six", 2, 3, port, 2, host) for host in (0, 1)]:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err + out
    one, six = grids(tmp_path / "one"), grids(tmp_path / "six")
    assert list(one) == list(six) == [2, 4, 6]
    for step, image in one.items():
        assert np.abs(image.astype(int) - six[step]).max() <= 2
    drawn = image_grid(generate.read(tmp_path / "six" / "samples.npz")[0], columns=10, scale=16)
    assert np.abs(drawn - tiles(one[6])).max() <= 2, "and what process 0 draws at the end, by itself"
