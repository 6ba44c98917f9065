"""Predictors, correctors and whole predictor-corrector runs against recorded ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import process
from jaxdiff.samplers import langevin, predictors, trajectory
from jaxdiff.samplers.base import Level
from jaxdiff.samplers.langevin import correction
from jaxdiff.types import expand
from tests.parity.score_sde import STEP_SIZES, UPDATES, denoiser_of, float64, marginals_of, model_of, sde_of, unscaled
from tests.parity.score_sde_cases import cases
from tests.support.arrays import close

READS = ("score_sde/step_*.npz", "score_sde/steps*.npz", "score_sde/pc_*.npz")


@pytest.mark.parametrize("case", cases(*READS, kind="step_predictor", marks=("sde", "predictor", "probability_flow")))
def test_predictor(case, x64):
    config, sde = case.options("predictor", "probability_flow", "continuous"), sde_of(case.config)
    x, t, noise = (float64(case.inputs[f"in/{name}"]) for name in ("x", "t", "noise"))
    score = process.reverse_sde.score(marginals_of(config, sde), denoiser_of(case.inputs), x, t)
    mean, std = UPDATES[config["predictor"], config["probability_flow"]](sde, x, t, score, config["N"])
    found = {"x_mean": mean, "x": mean + expand(std, x) * noise[0]}
    for name, recorded in case.recorded.items():
        close(found[name], recorded, 1e-8)
    if "out/score" in case.inputs:
        close(score, case.inputs["out/score"], 1e-8)


@pytest.mark.parametrize("case", cases(*READS, kind="step_corrector", marks=("sde", "corrector")))
def test_corrector(case, x64):
    config, sde = case.options("corrector", "snr", "n_steps", "continuous"), sde_of(case.config)
    x, t, noise = (float64(case.inputs[f"in/{name}"]) for name in ("x", "t", "noise"))
    scale = expand(sde.a(t), x)
    level = Level(jnp.array(0), sde.std(t) / sde.a(t), sde.std(t), config["N"])
    step_size, marginals = STEP_SIZES[config["corrector"]], marginals_of(config, sde)

    def corrected(num_steps):
        sampler = correction(sde, config["snr"], num_steps, step_size, marginals)
        draws = jnp.moveaxis(noise[:num_steps], 0, 1)
        run = jax.jit(lambda x, draws: sampler.step(denoiser_of(case.inputs), x, (), level, draws)[0])
        return scale * run(x / scale, draws)

    found = corrected(config["n_steps"])
    close(found, case.recorded["x"], 1e-8)
    if "x_mean" in case.recorded:  # before the last step's noise: x + e score
        before = corrected(config["n_steps"] - 1) if config["n_steps"] > 1 else x
        z = noise[config["n_steps"] - 1]
        score = process.reverse_sde.score(marginals, denoiser_of(case.inputs), before, t)
        e = 2 * sde.step_size(t, config["N"]) * config["snr"] ** 2 * step_size(sde, t, score, z)
        close(before + expand(e, x) * score, case.recorded["x_mean"], 1e-8)
    assert set(case.recorded) <= {"x", "x_mean"}


@pytest.mark.parametrize("case", cases(*READS, kind="pc", marks=("predictor", "corrector")))
def test_whole_run(case, x64):
    config = case.options(
        "predictor", "corrector", "n_steps", "probability_flow", "continuous", "snr", "eps", "inverse_scaler",
        "draws_per_step", "centered", "denoise", "model",
    )  # fmt: skip
    sde, num_steps, correct = sde_of(config), config["N"], config["corrector"] != "none"
    model, marginals = model_of(case, sde), marginals_of(config, sde)
    grid = process.sde.grid(sde, num_steps, config["eps"])
    t = np.linspace(1, config["eps"], num_steps)
    levels = float64(marginals.std(t) / marginals.a(t))

    def denoise(x, sigma):
        return model(x, sigma, float64(t)[jnp.argmin(jnp.abs(levels - sigma))])

    sampler = predictors.predictor(sde, UPDATES[config["predictor"], config["probability_flow"]], marginals)
    n_steps = config["n_steps"] if correct else 0
    corrections, predicting = draws_of(case, num_steps, n_steps)
    noise = predicting
    if correct:
        step_size = STEP_SIZES[config["corrector"]]
        corrector = correction(sde, config["snr"], n_steps, step_size, marginals)
        sampler = langevin(sampler, sde, config["snr"], n_steps, step_size, marginals)
        noise = (corrections, predicting)

    start = sde.prior_std * float64(case.inputs["in/prior_noise"]) / sde.a(1.0)
    run = jax.jit(lambda grid: trajectory(sampler, denoise, start, grid, noise=noise)[1])
    states = run(grid)
    noisy = run(np.append(grid[:-1], 1e-13))  # the last step keeps its noise where it does not end at 0
    scaled, a = unscaled(config), np.append(sde.a(t), 1.0)[:, None, None, None, None]
    found = {
        "samples_denoise": scaled(states[-1]),
        "samples_noisy": scaled(noisy[-1]),
        "x": scaled((states if config.get("denoise", True) else noisy)[-1]),
        "last_x_mean": states[-1],
        "x_after_predictor": (a * noisy)[1:],
        "traj_predictor_x": (a * noisy)[1:],
        "timesteps": t,
        "nfe": num_steps * (config["n_steps"] + 1),  # as the authors count, also where nothing is corrected
    }
    if correct:
        step = jax.jit(lambda x, noise, *level: corrector.step(denoise, x, (), Level(*level, num_steps), noise)[0])
        along = zip(np.arange(num_steps), grid[:-1], grid[1:], strict=True)
        after = [step(states[i], corrections[i], i, *level) for i, *level in along]
        found["x_after_corrector"] = found["traj_corrector_x"] = a[:-1] * jnp.stack(after)
    for name, recorded in case.recorded.items():
        close(found[name], recorded, 1e-8)


def draws_of(case, num_steps, n_steps):
    """(draws of the correctors [step, B, n_steps, ...], of the predictor [step, B, ...])."""
    inputs = case.inputs
    if "in/noise" in inputs:
        per_step = case.config["draws_per_step"]
        used = float64(inputs["in/noise"])[: per_step * num_steps]
        used = used.reshape(num_steps, per_step, *used.shape[1:])
        corrections, predicting = used[:, :n_steps], used[:, n_steps] if per_step > n_steps else 0 * used[:, 0]
    else:
        corrections = float64(inputs["in/corrector_noise"])[:, :n_steps]
        predicting = float64(inputs["in/predictor_noise"])
    return jnp.moveaxis(corrections, 1, 2), predicting
