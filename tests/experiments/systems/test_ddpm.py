"""DDPM's experiments: the contract, the bound of a run, sampling by every sampler, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import ddpm_cifar, ddpm_digits, evaluate, sample
from experiments.evaluation import elbo
from experiments.harness import generate
from experiments.systems import ddpm
from experiments.systems.network import of_images
from jaxdiff import grids, process
from jaxdiff.data import digits
from jaxdiff.train.checkpoint import Checkpoints
from tests.support import tiny
from tests.support.commands import RUN_FILES, called, refused
from tests.support.tiers import full


@pytest.fixture(scope="module")
def run(tiny_networks, tmp_path_factory):
    """A smoke run with the tiny network."""
    folder = tmp_path_factory.mktemp("ddpm") / "run"
    called("ddpm_digits", "--smoke", "--label-dropout", "0.1", "--workdir", folder)
    return folder


def test_smoke_writes_every_file(run):
    assert {path.name for path in run.iterdir()} >= RUN_FILES
    report = json.loads((run / "report.json").read_text())
    assert (report["sampler"], report["nfe"]) == ("ddim", 4)


@pytest.mark.full
def test_steps_drawn_by_their_losses(tiny_networks, tmp_path):
    """With accumulation; the history is saved, and goes on with the run."""
    flags = ("--times", "loss_aware", "--objective", "vlb", "--chain-length", "50", "--accumulate", "2")
    flags += ("--num-samples", "4", "--num-steps", "2", "--batch-size", "16", "--workdir", tmp_path)
    called("ddpm_digits", "--steps", "2", *flags)
    called("ddpm_digits", "--steps", "4", *flags)
    config = ddpm_digits.Config(times="loss_aware", objective="vlb", chain_length=50, accumulate=2)
    like = jax.eval_shape(ddpm_digits.system(config).trainer.create, jax.random.key(0))
    state = Checkpoints(tmp_path).restore(like).state
    assert int(state.step) == 4
    assert int(state.history.counts.sum()) == 4 * 16


def test_the_bound_of_a_run(run):
    """The parts add up, the report keeps its metrics, and the picture is there."""
    evaluate.main(evaluate.Config(workdir=run, elbo=True, heldout_images=8))
    report = json.loads((run / "report.json").read_text())
    assert "metrics" in report
    found = report["elbo"]
    parts = found["reconstruction"] + found["matching"] + found["prior"]
    assert parts == pytest.approx(found["bits_per_dim"], rel=1e-5)
    assert (found["grey_values"], found["num_images"], found["num_steps"]) == (17, 8, 50)
    assert found["nats"] == pytest.approx(found["bits_per_dim"] * 64 * np.log(2), rel=1e-6)
    assert 1 < found["bits_per_dim"] < 100
    with np.load(run / "elbo.npz") as file:
        assert file["bits_per_dim"].sum() + found["prior"] == pytest.approx(found["bits_per_dim"], rel=1e-5)
    assert (run / "elbo.png").stat().st_size > 1_000


@pytest.mark.parametrize("sampler", ["own", "ancestral", "ddim", "dpmpp_2m"])
def test_every_sampler_draws_from_the_run(run, sampler, tmp_path):
    out = tmp_path / "out"
    sample.main(sample.Config(workdir=run, sampler=sampler, num_steps=3, seeds="0-3", eta=0.5, guidance=2.0, out=out))
    images, labels = generate.read(out / "samples.npz")
    assert images.shape == (4, 8, 8, 1)
    assert labels.tolist() == [0, 1, 2, 3]


def test_steps_that_fall_on_one_level_are_one_step(run, tmp_path, capsys):
    """The chain knows 50 levels, some of them beyond the Karras grid's ends."""
    sample.main(sample.Config(workdir=run, sampler="heun", num_steps=40, seeds="0-3", out=tmp_path))
    levels = process.betas.sigmas(process.betas.cosine(50))[:-1]
    asked = grids.karras(40, max(0.002, levels[-1]), min(80.0, levels[0]))[:-1]
    known = {int(np.argmin(np.abs(levels - sigma))) for sigma in asked}
    assert len(known) < 40
    assert f"{len(known)} steps instead of 40" in capsys.readouterr().out
    assert generate.read(tmp_path / "samples.npz")[0].std() > 0


def test_an_image_is_a_function_of_its_seed(run, tmp_path):
    """With noise in every step, alone or among others."""
    for name, seeds in (("many", "0-9"), ("one", "7")):
        sample.main(sample.Config(run, sampler="ancestral", num_steps=5, seeds=seeds, out=tmp_path / name))
    many, one = (generate.read(tmp_path / name / "samples.npz")[0] for name in ("many", "one"))
    assert np.abs(many[7].astype(int) - one[0]).max() <= 1


PREDICTIONS = ("eps", "x0", "v", "mu")
VARIANCES = (("small", "simple"), ("large", "vlb"), ("learned", "hybrid"), ("learned_range", "vlb"))
EVERY = [(prediction, *variance) for prediction in PREDICTIONS for variance in VARIANCES]


@pytest.mark.parametrize(
    ("prediction", "variance", "objective"),
    [*EVERY[::5], *full(*(choice for choice in EVERY if choice not in EVERY[::5]))],
)
def test_every_choice_has_a_finite_loss_and_gradient(prediction, variance, objective):
    config = ddpm.Diffusion(prediction=prediction, variance=variance, objective=objective, times="uniform")
    net = of_images(config, tiny.Pixelwise(ddpm.channels_of(config, 1)), shape=(8, 8, 1), bins=17)
    system = ddpm.assemble(config, net)
    params = system.init(jax.random.key(0))
    batch = {"image": jnp.asarray(digits.load("train").images[:6]), "label": jnp.arange(6)}

    @jax.jit
    def value_and_gradient(params):
        return jax.value_and_grad(lambda params: system.loss(params, jax.random.key(1), batch).mean())(params)

    value, gradient = value_and_gradient(params)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def test_data_off_the_grey_values_of_the_run_are_refused():
    system = ddpm_digits.system(ddpm_digits.smoke(ddpm_digits.Config()))
    with pytest.raises(ValueError, match="17 grey values"):
        elbo.check(system, np.full((1, 8, 8, 1), 0.01))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--objective", "hybrid", "--variance", "small"], "use simple"),
        (["--objective", "simple", "--variance", "learned"], "use hybrid or vlb"),
        (["--num-steps", "60", "--chain-length", "50"], "num_steps=60 exceeds chain_length=50"),
        (["--schedule", "linear", "--chain-length", "20", "--num-steps", "4"], "alpha_bar is 0"),
        (["--schedule", "linear", "--chain-length", "10", "--num-steps", "4"], "betas must lie between 0 and 1"),
        (["--ddim-eta", "2"], "--ddim-eta must lie in [0, 1], got 2.0"),
        (["--prediction", "noise"], "noise"),
    ],
)
def test_training_refuses(flags, says, tmp_path, monkeypatch, capfd):
    workdir = tmp_path / "run"
    assert says in refused("ddpm_digits", [*flags, "--workdir", workdir], monkeypatch, capfd)
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("module", "flags", "says"),
    [
        ("evaluate", ["--elbo", "--heldout-images", "900"], "heldout_images must be 1 to 899, got 900"),
        ("evaluate", ["--elbo", "--heldout-images", "0"], "--heldout-images must be at least 1, got 0"),
        ("sample", ["--num-steps", "51"], "num_steps must be 1 to 50, the length of the chain, got 51"),
        ("sample", ["--sampler", "ddim", "--eta", "-1"], "--eta must lie in [0, 1]"),
    ],
)
def test_a_run_refuses(run, module, flags, says, monkeypatch, capfd):
    assert says in refused(module, [*flags, "--workdir", run], monkeypatch, capfd)


def test_the_papers_values_are_used_on_cifar10():
    """Ho et al. 2020, Appendix B; Nichol & Dhariwal 2021, Appendix A."""
    ho, improved = (ddpm_cifar.resolve(ddpm_cifar.Config(data="cifar10", recipe=name)) for name in ddpm_cifar.RECIPES)
    assert (ho.steps, ho.learning_rate, ho.clip_norm, ho.chain_length) == (800_000, 2e-4, 1.0, 1_000)
    assert (ho.schedule, ho.variance, ho.objective, ho.batch_size) == ("linear", "large", "simple", 128)
    assert (improved.steps, improved.learning_rate, improved.chain_length) == (500_000, 1e-4, 4_000)
    assert (improved.schedule, improved.variance, improved.objective) == ("cosine", "learned_range", "hybrid")
    for config in (ho, improved):
        decay = 0.5 ** (config.batch_size / config.ema_halflife)
        assert decay == pytest.approx(0.9999, abs=1e-6)


def test_the_bound_of_another_recipe(tiny_networks, tmp_path):
    """Fixed variances, the linear schedule, no classes; that it trains is in test_smoke.py."""
    called("ddpm_cifar", "--smoke", "--recipe", "ho2020", "--workdir", tmp_path / "run")
    evaluate.main(evaluate.Config(workdir=tmp_path / "run", elbo=True, heldout_images=2))
    assert json.loads((tmp_path / "run" / "report.json").read_text())["elbo"]["num_images"] == 2
