"""The CIFAR-10 recipes of DDGAN, shrunk on digits; published generators; training that is not finite."""

import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import ddgan_25gaussians, ddgan_cifar, sample
from experiments.harness import allowed, cli, generate
from experiments.harness.system import System, Trainer, flipped
from jaxdiff import interop
from tests.parity.ddgan_networks import options_of
from tests.support import forge, reference
from tests.support.commands import refused


def test_the_released_command_s_values_are_used_on_cifar10():
    config = ddgan_cifar.resolve(ddgan_cifar.Config(data="cifar10"))
    assert (config.steps, config.batch_size, config.num_steps) == (351_000, 4 * 64, 4)
    assert (config.learning_rate, config.discriminator_rate) == (1.6e-4, 1.25e-4)
    assert (config.gamma, config.r1_every, config.decay, config.latent_dim) == (0.02, 15, 0.9999, 100)
    assert ddgan_cifar.resolve(ddgan_cifar.Config(data="cifar10", gamma=0.0, batch_size=8)).gamma == 0
    system = ddgan_cifar.system(config)
    state = jax.eval_shape(system.trainer.create, jax.random.key(0))
    size = lambda params: sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))  # noqa: E731
    net = interop.ddgan.network(interop.ddgan.CIFAR10)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1), jnp.zeros((1, 100)))
    assert size(state.params.generator) == size(shapes) == 48_432_515
    assert system.shape == (32, 32, 3)


def test_recipes_differ_where_the_paper_says_otherwise():
    released, paper = (ddgan_cifar.resolve(ddgan_cifar.Config(data="cifar10", recipe=r)) for r in ("released", "paper"))
    changed = {name for name in vars(paper) if getattr(paper, name) != getattr(released, name)}
    assert changed == {"recipe", "steps", "discriminator_rate", "gamma"}


def test_images_are_flipped_at_random_and_nothing_else():
    """Before the step, by a key of its own that changes with the step."""
    x = jnp.arange(200 * 6.0).reshape(200, 1, 6, 1)
    seen = Trainer(None, lambda state, key, batch: (batch, key))
    step = flipped(System(*[None] * 7, trainer=seen)).trainer.step
    found = [step(SimpleNamespace(step=n), jax.random.key(0), {"image": x, "label": x}) for n in (0, 1)]
    for batch, _ in found:
        flips = jnp.all(batch["image"] == x[:, :, ::-1], axis=(1, 2, 3))
        assert jnp.all(flips | jnp.all(batch["image"] == x, axis=(1, 2, 3)))
        assert 70 < int(flips.sum()) < 130
        assert batch["label"] is x
    assert (found[0][0]["image"] != found[1][0]["image"]).any()


@pytest.fixture
def generator(tmp_path, monkeypatch):
    """A small recorded generator under the published name, and what its options say."""
    arrays = reference.load(reference.ROOT / "ddgan" / "gen_default.npz")
    options = options_of(reference.config(arrays)["kwargs"])
    monkeypatch.setitem(interop.ddgan.PUBLISHED, "netG_1200.pth", options)
    path = tmp_path / "netG_1200.pth"
    state_dict = {f"module.{name}": a for name, a in reference.subset(arrays, "param").items()}
    path.write_bytes(forge.zipped(state_dict))
    return path, options, state_dict


def test_a_published_generator_is_drawn_from(generator, tmp_path):
    path, options, _ = generator
    sample.main(sample.Config(checkpoint=path, seeds="0-4", out=tmp_path / "a"))
    images, labels = generate.read(tmp_path / "a" / "samples.npz")
    assert images.shape == (5, options.image_size, options.image_size, options.num_channels)
    assert labels is None
    assert images.std(axis=0).max() > 0, "latents and noises differ"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--sampler", "heun"], "a DDGAN's network draws x0 and is no denoiser"),
        (["--grid", "karras"], "no denoiser"),
        (["--num-steps", "7"], "the chain that was trained, got 7"),
        (["--guidance", "2"], "this model was trained without classes"),
    ],
)
def test_a_generator_is_no_denoiser(flags, says, generator, tmp_path, monkeypatch, capfd):
    out = tmp_path / "out"
    assert says in refused("sample", ["--checkpoint", generator[0], "--out", out, *flags], monkeypatch, capfd)
    assert not out.exists()


def test_a_latent_of_another_size_is_refused(generator, tmp_path, monkeypatch, capfd):
    path, _, state_dict = generator
    rows = state_dict["module.z_transform.1.weight"]
    path.write_bytes(forge.zipped(state_dict | {"module.z_transform.1.weight": np.pad(rows, ((0, 0), (0, 3)))}))
    says = refused("sample", ["--checkpoint", path, "--out", tmp_path / "out"], monkeypatch, capfd)
    assert "netG_1200.pth: " in says
    assert "latent_map.layer0" in says


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--num-steps", "0"], "--num-steps must be at least 1, got 0"),
        (["--batch-size", "30"], "batch_size must be divisible by 4, the minibatch deviation's group, got 30"),
        (["--latent-dim", "-1"], "--latent-dim must be at least 0, got -1"),
        (["--r1-every", "-1"], "--r1-every must be at least 1, or 0, the default, got -1"),
        (["--decay", "2"], "--decay must lie in [0, 1], got 2.0"),
        (
            ["--data", "nowhere.zip", "--batch-size", "8"],
            "--data must be digits, cifar10, or a folder or zip of images",
        ),
    ],
)
def test_training_refuses(flags, says, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    assert says in refused("ddgan_cifar", [*flags, "--workdir", tmp_path / "run"], monkeypatch, capfd)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flags", [["--num-steps", "0"], ["--latent-dim", "-1"], ["--gamma", "nan"]])
def test_25_gaussians_refuses(flags, tmp_path, monkeypatch, capfd):
    arguments = [*flags, "--workdir", tmp_path / "run"]
    assert f"{flags[0]} must be" in refused("ddgan_25gaussians", arguments, monkeypatch, capfd)
    assert not (tmp_path / "run").exists()


def test_training_that_is_not_finite_stops_and_names_the_network(tmp_path, monkeypatch, capfd):
    """An infinite weight of R1 breaks the discriminator; the generator, which meets the old one, is in order."""
    monkeypatch.setitem(allowed.ALLOWED, "gamma", allowed.Span(0, np.inf))
    flags = ["--smoke", "--gamma", "inf", "--workdir", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["prog", *flags])
    with pytest.raises(SystemExit) as stop:
        cli.run(ddgan_25gaussians.main, ddgan_25gaussians.Config, prog="prog")
    assert stop.value.code == 1
    says = capfd.readouterr().err.strip().splitlines()[-1]
    assert says.startswith("prog: stopped: discriminator_grad_norm=nan, discriminator_loss=")
    assert "generator" not in says
    assert "at step 0; the last good checkpoint is none yet" in says
