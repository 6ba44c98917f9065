"""Score SDEs' experiments: the contract, sampling along the SDE, the likelihood of a run, and what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import evaluate, sample, score_sde_cifar, score_sde_digits
from experiments.evaluation import likelihood
from experiments.harness import generate, runs
from experiments.systems.score_sde import pixels_of
from jaxdiff import probability_flow
from jaxdiff.data import digits
from jaxdiff.losses.bits import dequantize
from jaxdiff.samplers.base import Sampler, memoryless, noiseless
from tests.support.commands import RUN_FILES, called, refused
from tests.support.tiers import full


@pytest.fixture(scope="module")
def run(tiny_networks, tmp_path_factory):
    """A smoke run for likelihood, with the tiny network."""
    folder = tmp_path_factory.mktemp("score_sde") / "run"
    flags = ("--smoke", "--dequantize", "--weighting", "importance", "--workdir", folder)
    called("score_sde_digits", *flags)
    return folder


def test_smoke_writes_every_file(run):
    assert {path.name for path in run.iterdir()} >= RUN_FILES
    report = json.loads((run / "report.json").read_text())
    assert (report["sampler"], report["nfe"]) == ("predictor_corrector", 42)


@pytest.mark.parametrize("probes", [0, *full(2)])
def test_the_likelihood_of_a_run(run, probes):
    """The report holds both ways to say it, and keeps its metrics."""
    evaluate.main(evaluate.Config(workdir=run, likelihood=True, heldout_images=4, probes=probes))
    report = json.loads((run / "report.json").read_text())
    assert "metrics" in report
    found = report["likelihood"]
    bits = found["nats"] / (64 * np.log(2)) + found["offset_bits"]
    assert found["bits_per_dim"] == pytest.approx(bits, rel=1e-6)
    assert found["offset_bits"] == pytest.approx(np.log2(17 / 2))
    assert (found["grey_values"], found["num_images"], found["probes"]) == (17, 4, probes)
    assert found["standard_error"] > 0
    assert found["evaluations"] > 30


@pytest.mark.parametrize("sampler", ["own", "pc", "ode", "heun", "ddim"])
def test_every_sampler_draws_from_the_run(run, sampler, tmp_path):
    sample.main(sample.Config(workdir=run, sampler=sampler, num_steps=21, seeds="0-3", out=tmp_path / "out"))
    images, labels = generate.read(tmp_path / "out" / "samples.npz")
    assert images.shape == (4, 8, 8, 1)
    assert labels.tolist() == [0, 1, 2, 3]


def test_an_image_is_a_function_of_its_seed(run, tmp_path):
    """Adaptive steps too are every image's own."""
    for name, seeds in (("many", "0-9"), ("one", "7")):
        sample.main(sample.Config(workdir=run, sampler="ode", seeds=seeds, out=tmp_path / name))
    many, one = (generate.read(tmp_path / name / "samples.npz")[0] for name in ("many", "one"))
    assert np.abs(many[7].astype(int) - one[0]).max() <= 1


def test_dequantised_pixels_come_back():
    images = jnp.asarray(digits.load("heldout").images[:8])
    pixels = pixels_of(images, digits.GREY_VALUES)
    for uniform in (0.01, 0.99):  # the ends themselves are one rounding from the next bin
        spread = dequantize(pixels, jnp.full(images.shape, uniform), digits.GREY_VALUES)
        np.testing.assert_array_equal(jnp.floor((spread + 1) / 2 * digits.GREY_VALUES), pixels)
        assert float(spread.min()) >= -1
        assert float(spread.max()) < 1


@pytest.mark.parametrize("sde", ["ve", *full("subvp")])
def test_the_other_sdes_train_and_draw(sde, tiny_networks, tmp_path):
    config = score_sde_digits.Config(workdir=tmp_path / "run", sde=sde, smoke=True, weighting="likelihood")
    score_sde_digits.main(config)
    images, _ = generate.read(tmp_path / "run" / "samples.npz")
    assert len(images) == 40


def test_images_that_are_not_finite_are_never_written(run, tmp_path):
    run_config, system = runs.of_run(run)
    params, _ = runs.averaged_params(run_config, system)
    lost = Sampler(memoryless, noiseless, lambda denoise, x, carry, level, noise: (x.at[1].set(jnp.nan), carry))
    request = generate.Request(lost, np.array([1.0, 0.0]), np.array([5, 6, 7]), np.zeros(3, int))
    with pytest.raises(FloatingPointError, match=r"images of seeds \[6\] are not finite"):
        generate.write(tmp_path / "samples.npz", system, params, request)
    assert not (tmp_path / "samples.npz").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--beta-min", "30"], "need 0 < beta_min < beta_max, got 30.0, 20.0"),
        (["--sde", "ve", "--sigma-min", "0"], "--sigma-min must be above 0"),
        (["--epsilon", "1"], "--epsilon must lie in (0, 1), got 1.0"),
        (["--snr", "0"], "--snr must be above 0, got 0.0"),
        (["--num-steps", "20"], "VP's chain needs more than beta_max=20.0 steps, got 20"),
    ],
)
def test_training_refuses(flags, says, tmp_path, monkeypatch, capfd):
    workdir = tmp_path / "run"
    assert says in refused("score_sde_digits", [*flags, "--workdir", workdir], monkeypatch, capfd)
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("module", "flags", "says"),
    [
        ("evaluate", ["--likelihood", "--heldout-images", "900"], "heldout_images must be 1 to 899, got 900"),
        ("evaluate", ["--likelihood", "--probes", "-1"], "--probes must be at least 0, got -1"),
        ("evaluate", ["--elbo"], "this run has no chain of steps"),
        ("sample", ["--sampler", "ode", "--tolerance", "1e-9"], "below what float32 can meet: ask for 1.2e-06 or more"),
        ("sample", ["--sampler", "pc", "--snr", "-1"], "--snr must be above 0, got -1.0"),
    ],
)
def test_a_run_refuses(run, module, flags, says, monkeypatch, capfd):
    assert says in refused(module, [*flags, "--workdir", run], monkeypatch, capfd)


def test_a_run_without_an_sde_has_no_likelihood():
    system = score_sde_digits.system(score_sde_digits.Config())._replace(sde_model=None)
    with pytest.raises(ValueError, match="this run has no SDE, so no likelihood"):
        likelihood.check(system, digits.load("heldout").images[:1])
    with pytest.raises(ValueError, match="17 grey values"):
        likelihood.check(score_sde_digits.system(score_sde_digits.Config()), np.full((1, 8, 8, 1), 0.01))


def test_a_solver_that_stops_is_not_passed_over():
    found = probability_flow.Solution(jnp.zeros((3, 1)), jnp.ones(3), jnp.array([True, False, True]))
    with pytest.raises(probability_flow.SolverStopped, match=r"for examples \[1\]"):
        probability_flow.check_solved(found)


def test_the_papers_values_are_used_on_cifar10():
    """Song et al. 2021, Appendix C and H: batch 128, 1.3 million steps, learning rate 2e-4, gradients clipped at 1."""
    for sde, decay in (("vp", 0.9999), ("subvp", 0.9999), ("ve", 0.999)):
        config = score_sde_cifar.resolve(score_sde_cifar.Config(data="cifar10", sde=sde))
        assert (config.steps, config.learning_rate, config.clip_norm, config.batch_size) == (1_300_000, 2e-4, 1.0, 128)
        assert 0.5 ** (config.batch_size / config.ema_halflife) == pytest.approx(decay, abs=1e-5)
        net_levels = (config.sigma_min, config.sigma_max)
        assert net_levels == (0.02, 100.0)
