"""Predictors, correctors and whole predictor-corrector runs against recorded ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import sde as sdes
from jaxdiff.samplers import langevin, trajectory
from jaxdiff.samplers import predictors as p
from jaxdiff.samplers.base import Level
from jaxdiff.samplers.langevin import correction
from jaxdiff.types import expand
from tests.parity.score_sde import STEP_SIZES, UPDATES, denoiser_of, float64, marginals_of, sde_of
from tests.support import reference
from tests.support.arrays import close
from tests.support.tiers import by, first_of_a_kind

READS = ("score_sde/step_*.npz", "score_sde/pc_*.npz")


def cases(pattern, kind):
    for path in reference.files(pattern):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            if reference.config(arrays, case)["kind"] == kind:
                yield pytest.param(arrays, case, id=f"{path.stem}-{case}")


@pytest.mark.parametrize(
    ("arrays", "case"),
    first_of_a_kind(
        cases("score_sde/step_predictor.npz", "step_predictor"), by("sde", "predictor", "probability_flow")
    ),
)
def test_predictor(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    inputs, sde = reference.subset(arrays, config["inputs"]), sde_of(config)
    x, t, noise = (float64(inputs[f"in/{name}"]) for name in ("x", "t", "noise"))
    score = sdes.score(marginals_of(config, sde), denoiser_of(inputs), x, t)
    mean, std = UPDATES[config["predictor"], config.get("probability_flow", False)](sde, x, t, score, config["N"])
    close(mean, recorded["x_mean"], 1e-8)
    close(mean + expand(std, x) * noise[0], recorded["x"], 1e-8)


@pytest.mark.parametrize(
    ("arrays", "case"), first_of_a_kind(cases("score_sde/step_corrector.npz", "step_corrector"), by("sde", "corrector"))
)
def test_corrector(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    inputs, sde = reference.subset(arrays, config["inputs"]), sde_of(config)
    x, t, noise = (float64(inputs[f"in/{name}"]) for name in ("x", "t", "noise"))
    scale = expand(sde.a(t), x)
    level = Level(jnp.array(0), sde.std(t) / sde.a(t), sde.std(t), config["N"])
    step_size, marginals = STEP_SIZES[config["corrector"]], marginals_of(config, sde)
    sampler = correction(sde, config["snr"], config["n_steps"], step_size, marginals)
    draws = jnp.moveaxis(noise[: config["n_steps"]], 0, 1)
    corrected, _ = jax.jit(lambda x, draws: sampler.step(denoiser_of(inputs), x, (), level, draws))(x / scale, draws)
    close(scale * corrected, recorded["x"], 1e-8)


@pytest.mark.parametrize(
    ("arrays", "case"), first_of_a_kind(cases("score_sde/pc_*.npz", "pc"), by("predictor", "corrector"))
)
def test_whole_run(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    sde, num_steps, correct = sde_of(config), config["N"], config["corrector"] != "none"
    denoise, marginals = denoiser_of(arrays), marginals_of(config, sde)
    grid = sdes.grid(sde, num_steps, config["eps"])
    t = np.linspace(1, config["eps"], num_steps)
    close(t, recorded["timesteps"])
    update = UPDATES[config["predictor"], config["probability_flow"]]
    sampler = p.predictor(sde, update, marginals)

    per_step, n_steps = config["draws_per_step"], config["n_steps"] if correct else 0
    used = float64(arrays["in/noise"])[: per_step * num_steps]
    used = used.reshape(num_steps, per_step, *used.shape[1:])
    predicting = used[:, n_steps] if per_step > n_steps else 0 * used[:, 0]
    noise = predicting
    if correct:
        corrections = jnp.moveaxis(used[:, :n_steps], 1, 2)
        step_size = STEP_SIZES[config["corrector"]]
        corrector = correction(sde, config["snr"], n_steps, step_size, marginals)
        sampler = langevin(sampler, sde, config["snr"], n_steps, step_size, marginals)
        noise = (corrections, predicting)

    start = sde.prior_std * float64(arrays["in/prior_noise"]) / sde.a(1.0)
    scaled = (lambda x: (x + 1) / 2) if config["inverse_scaler"] == "half" else (lambda x: x)
    run = jax.jit(lambda grid: trajectory(sampler, denoise, start, grid, noise=noise)[1])
    states = run(grid)
    noisy = run(np.append(grid[:-1], 1e-13))  # the last step keeps its noise where it does not end at 0
    a = np.append(sde.a(t), 1.0)[:, None, None, None, None]
    close(scaled(states[-1]), recorded["samples_denoise"], 1e-8)
    close(scaled(noisy[-1]), recorded["samples_noisy"], 1e-8)
    close((a * noisy)[1:], recorded["x_after_predictor"], 1e-8)
    if correct:
        step = jax.jit(lambda x, noise, *level: corrector.step(denoise, x, (), Level(*level, num_steps), noise)[0])
        for index, level in enumerate(zip(np.arange(num_steps), grid[:-1], grid[1:], strict=True)):
            corrected = step(states[index], corrections[index], *level)
            close(a[index] * corrected, recorded["x_after_corrector"][index], 1e-8)
    assert int(recorded["nfe"]) == num_steps * (config["n_steps"] + 1)
