"""Inpainting and colourisation against recorded runs and single updates."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import known as k
from jaxdiff import sde as sdes
from jaxdiff.samplers import control as c
from jaxdiff.samplers import correction, in_turn, predictor, sample
from jaxdiff.samplers.base import Level, Sampler, memoryless, noiseless
from tests.parity.score_sde import STEP_SIZES, UPDATES, denoiser_of, marginals_of, sde_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import by, first_of_a_kind

READS = ("score_sde/control_*.npz",)
REST = Sampler(memoryless, noiseless, lambda denoise, x, carry, level, noise: (x, carry))


def cases():
    for path in reference.files(*READS):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            if not reference.config(arrays, case)["kind"].endswith("_inputs"):
                yield pytest.param(arrays, case, id=f"{path.stem}-{case}")


def parts_of(config, denoise_arrays):
    """(sde, denoiser of channels-last images, corrector or None, predictor)."""
    sde = sde_of(config)
    exact, marginals = denoiser_of(denoise_arrays), marginals_of(config, sde)
    denoise = lambda x, sigma: jnp.moveaxis(exact(jnp.moveaxis(x, -1, -3), sigma), -3, -1)  # noqa: E731
    correct = None
    if config["corrector"] != "none":
        correct = correction(sde, config["snr"], config["n_steps"], STEP_SIZES[config["corrector"]], marginals)
    go = predictor(sde, UPDATES[config["predictor"], config["probability_flow"]], marginals)
    return sde, denoise, correct, go


def known_of(arrays, config):
    """(data, what is known of them) of a file, channels last."""
    inputs = reference.subset(arrays, config["inputs"])
    data = nhwc(inputs["in/data"])
    if "in/mask" in inputs:
        return inputs, data, k.pixels(nhwc(inputs["in/mask"]))
    return inputs, data, k.directions(k.grey_mask(data.shape), arrays["table/M"].astype(np.float64))


def left_behind(sampler, sde, data, known):
    """The authors' order: the data come back at the level that the step left, in its native coordinates too."""

    def step(denoise, x, carry, level, noise):
        x, carry = sampler.step(denoise, x, carry, level, noise[0])
        scale = sde.a(sde.time(level.sigma)) / sde.a(sde.time(level.sigma_next))
        return c.impose(x, scale * data, known, scale * level.sigma, noise[1]), carry

    return c.impute(sampler, data, known)._replace(step=step)


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(cases(), by("predictor", "corrector")))
def test_one_update(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    inputs, *known = known_of(arrays, config)
    sde, denoise, correct, go = parts_of(config, inputs)
    t, noise = jnp.asarray(inputs["in/step_t"], jnp.float64), nhwc(inputs["in/noise"])
    a, sigma = sde.a(t), sde.std(t) / sde.a(t)
    x = nhwc(inputs["in/step_x"]) / a
    below = sde.std(t / 2) / sde.a(t / 2)

    def check(name, sampler, draws, z, scale):
        level = Level(jnp.array(0), sigma, below, config["N"])
        moved, _ = sampler.step(denoise, x, (), level, draws)
        # A step leaves x as x0 + sigma n below; the authors compare x_t before and after in their own coordinates.
        moved = moved * scale / a
        close(a * nchw(c.impose(moved, *known, sigma, z)), recorded[f"step_{name}_x"], 1e-8)

    if correct:
        steps = config["n_steps"]
        check("corrector", correct, jnp.moveaxis(noise[:steps], 0, 1), noise[steps], a)
    else:
        check("corrector", REST, (), noise[0], a)
    check("predictor", go, noise[0], noise[1], sde.a(t / 2))


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(cases(), by("predictor", "corrector")))
def test_whole_run(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    inputs, data, known = known_of(arrays, config)
    sde, denoise, correct, go = parts_of(config, inputs)
    num_steps, steps = config["N"], config["n_steps"] if correct else 0
    used = nhwc(inputs["in/noise"])
    per_step = config["draws_per_corrector_update"] + config["draws_per_predictor_update"]
    used = used[: num_steps * per_step].reshape(num_steps, per_step, *used.shape[1:])
    predicting, after = used[:, -2], (used[:, steps], used[:, -1])
    stay = c.impute(correct or REST, data, known)
    correcting = jnp.moveaxis(used[:, :steps], 1, 2) if correct else ()
    sampler = in_turn(stay, left_behind(go, sde, data, known))
    prior = sde.prior_std * nhwc(inputs["in/prior_noise"])
    # In colour too the authors mask the prior's first channel in image space, and only then change the basis.
    start = known.back(known.there(data) * known.mask + known.there(prior * (1 - known.mask)))
    grid = sdes.grid(sde, num_steps, config["eps"])
    noise = ((correcting, after[0]), (predicting, after[1]))
    # The last step keeps its noise where it does not end at 0, as the authors' conditional samplers do.
    x = sample(sampler, denoise, start / sde.a(1.0), np.append(grid[:-1], 1e-13), noise=noise)
    scaled = (lambda x: (x + 1) / 2) if config["inverse_scaler"] == "half" else (lambda x: x)
    close(scaled(nchw(x)), recorded["result_noisy"], 1e-8)
    clean = c.impose(x, sde.a(np.asarray(config["eps"])) * data, known, 0.0, x)
    close(scaled(nchw(clean)), recorded["result_denoise"], 1e-8)


def test_the_basis_is_the_recorded_one(x64):
    for path in reference.files("score_sde/control_colorize.npz"):
        table = reference.load(path)["table/M"]
        np.testing.assert_allclose(np.abs(k.colour_basis()), np.abs(table), atol=1e-6)
        assert np.allclose(table.T @ table, np.eye(3), atol=1e-6)
