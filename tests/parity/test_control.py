"""Inpainting and colourisation against recorded runs and single updates."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import editing, process, samplers
from jaxdiff.samplers import correction, predictor, predictor_corrector
from jaxdiff.samplers.base import Level, Sampler, memoryless, noiseless
from tests.parity.score_sde import STEP_SIZES, UPDATES, denoiser_of, marginals_of, sde_of, unscaled
from tests.parity.score_sde_cases import cases
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.colour_basis import colour_basis

READS = ("score_sde/control*.npz",)
REST = Sampler(memoryless, noiseless, lambda denoise, x, carry, level, noise: (x, carry))
MARKS = ("predictor", "corrector")
ALL = [case for kind in ("inpaint", "colorize") for case in cases(*READS, kind=kind, marks=MARKS)]
OPTIONS = (
    "task", "predictor", "corrector", "snr", "n_steps", "probability_flow", "continuous", "denoise", "eps", "centered",
    "inverse_scaler", "draws_per_corrector_update", "draws_per_predictor_update",
)  # fmt: skip


def parts_of(case):
    """(sde, denoiser of channels-last images, corrector or None, predictor)."""
    config = case.config
    sde = sde_of(config)
    exact, marginals = denoiser_of(case.inputs), marginals_of(config, sde)
    denoise = lambda x, sigma: jnp.moveaxis(exact(jnp.moveaxis(x, -1, -3), sigma), -3, -1)  # noqa: E731
    correct = None
    if config["corrector"] != "none":
        correct = correction(sde, config["snr"], config["n_steps"], STEP_SIZES[config["corrector"]], marginals)
    predict = predictor(sde, UPDATES[config["predictor"], config.get("probability_flow", False)], marginals)
    return sde, denoise, correct, predict


def basis_of(arrays):
    """The recorded colour basis and its inverse."""
    names = ("table/M", "table/invM") if "table/M" in arrays else ("colorize/out/M", "colorize/out/invM")
    return tuple(np.asarray(arrays[name], np.float64) for name in names)


def measurement_of(case):
    """(data, its measurement), channels last."""
    inputs, task = case.inputs, case.config.get("task", case.config.get("kind"))
    data = nhwc(inputs["in/gray" if task == "colorize" and "in/gray" in inputs else "in/data"])
    if task == "inpaint":
        return data, editing.pixels(nhwc(inputs["in/mask"]))
    return data, editing.directions(editing.linear_measurement.grey_mask(data.shape), basis_of(inputs)[0])


def left_behind(sampler, sde, data, measurement):
    """The authors' order: the data come back at the level that the step left, in its native coordinates too."""

    def step(denoise, x, carry, level, noise):
        x, carry = sampler.step(denoise, x, carry, level, noise[0])
        scale = sde.a(sde.time(level.sigma)) / sde.a(sde.time(level.sigma_next))
        return samplers.control.project_x(x, scale * data, measurement, scale * level.sigma, noise[1]), carry

    return samplers.control.impute(sampler, data, measurement)._replace(step=step)


def mean_of(x, data, measurement):
    """The authors' mean of an update: the known part without its noise, the rest as it is."""
    return samplers.control.project_x(x, data, measurement, 0.0, x)


def draws_of(case, correct):
    """(of the corrector [N, B, n_steps, ...] or (), of the data after it, of the predictor, of the data after it)."""
    inputs, num_steps = case.inputs, case.config["N"]
    steps = case.config["n_steps"] if correct else 0
    if "in/noise" in inputs:
        per_step = case.config["draws_per_corrector_update"] + case.config["draws_per_predictor_update"]
        used = nhwc(inputs["in/noise"])[: num_steps * per_step].reshape(
            num_steps, per_step, *nhwc(inputs["in/noise"]).shape[1:]
        )
        correcting, data_after, predicting, data_last = used[:, :steps], used[:, steps], used[:, -2], used[:, -1]
    else:
        names = ("corrector_noise", "corrector_data_noise", "predictor_noise", "predictor_data_noise")
        correcting, data_after, predicting, data_last = (nhwc(inputs[f"in/{name}"]) for name in names)
    return jnp.moveaxis(correcting[:, :steps], 1, 2) if correct else (), data_after, predicting, data_last


@pytest.mark.parametrize("case", [case for case in ALL if "in/step_x" in case.values[0].inputs])
def test_one_update(case, x64):
    config, inputs = case.options(*OPTIONS), case.inputs
    data, measurement = measurement_of(case)
    sde, denoise, correct, predict = parts_of(case)
    t, noise = jnp.asarray(inputs["in/step_t"], jnp.float64), nhwc(inputs["in/noise"])
    a, sigma = sde.a(t), sde.std(t) / sde.a(t)
    x = nhwc(inputs["in/step_x"]) / a
    below = sde.std(t / 2) / sde.a(t / 2)
    found = {}

    def update(name, sampler, draws, z, scale):
        level = Level(jnp.array(0), sigma, below, config["N"])
        moved, _ = sampler.step(denoise, x, (), level, draws)
        # A step leaves x as x0 + sigma n below; the authors compare x_t before and after in their own coordinates.
        moved = samplers.control.project_x(moved * scale / a, data, measurement, sigma, z)
        found[f"step_{name}_x"] = a * moved
        found[f"step_{name}_x_mean"] = a * mean_of(moved, data, measurement)

    if correct:
        steps = config["n_steps"]
        update("corrector", correct, jnp.moveaxis(noise[:steps], 0, 1), noise[steps], a)
    else:
        update("corrector", REST, (), noise[0], a)
    update("predictor", predict, noise[0], noise[1], sde.a(t / 2))
    for name, recorded in case.recorded.items():
        if name.startswith("step_"):
            close(nchw(found[name]), recorded, 1e-8)


@pytest.mark.parametrize("case", ALL)
def test_whole_run(case, x64):
    config = case.options(*OPTIONS)
    data, measurement = measurement_of(case)
    sde, denoise, correct, predict = parts_of(case)
    num_steps, eps = config["N"], config["eps"]
    correcting, data_after, *predicting = draws_of(case, correct)
    prior = sde.prior_std * nhwc(case.inputs["in/prior_noise"])
    # In colour too the authors mask the prior's first channel in image space, and only then change the basis.
    start = measurement.inverse(
        measurement.transform(data) * measurement.mask + measurement.transform(prior * (1 - measurement.mask))
    )
    # The last step keeps its noise where it does not end at 0, as the authors' conditional samplers do.
    grid = np.append(process.sde.grid(sde, num_steps, eps)[:-1], 1e-13)
    a = np.append(sde.a(np.linspace(1, eps, num_steps)), 1.0)
    sampler = predictor_corrector(
        samplers.control.impute(correct or REST, data, measurement), left_behind(predict, sde, data, measurement)
    )
    rest = predictor_corrector(samplers.control.impute(correct or REST, data, measurement), REST)

    def after(sampler):
        return jax.jit(lambda x, noise, *level: sampler.step(denoise, x, ((), ()), Level(*level, num_steps), noise)[0])

    correction_of, step, x, states = after(rest), after(sampler), start / sde.a(1.0), {"corrector": [], "predictor": []}
    for index, level in enumerate(itertools.pairwise(grid)):
        corrected, predicted = (
            (correcting[index] if correct else (), data_after[index]),
            tuple(z[index] for z in predicting),
        )
        if "after_corrector_x" in case.recorded:
            states["corrector"].append(a[index] * correction_of(x, (corrected, ()), index, *level))
        x = step(x, (corrected, predicted), index, *level)
        states["predictor"].append(a[index + 1] * x)
    found = {}
    for name, along in states.items():
        means = [mean_of(x, a[index] * data, measurement) for index, x in enumerate(along)]
        found |= {f"after_{name}_x": along, f"after_{name}_x_mean": means}
    noisy, clean = (unscaled(config)(found[f"after_predictor_{name}"][-1]) for name in ("x", "x_mean"))
    found |= {"result_noisy": noisy, "result_denoise": clean, "x": clean if config.get("denoise", True) else noisy}
    for name, recorded in case.recorded.items():
        if not name.startswith("step_"):
            close(nchw(jnp.asarray(found[name])), recorded, 1e-8)


@pytest.mark.parametrize(
    "path", [path for path in reference.files(*READS) if any(n.endswith("/M") for n in reference.load(path))]
)
def test_the_basis_is_the_recorded_one(path, x64):
    basis, inverse = basis_of(reference.load(path))
    np.testing.assert_allclose(np.abs(colour_basis()), np.abs(basis), atol=1e-6)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(basis @ inverse, np.eye(3), atol=1e-6)
