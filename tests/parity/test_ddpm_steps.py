"""Single steps with a stored network output: forward chain, posterior, predictions, ancestral, DDIM, guidance."""

import re

import jax.numpy as jnp
import pytest

from tests.parity.ddpm_process import PROCESS, from_x, precond_of, process_of
from tests.parity.ddpm_steps import Step, forward
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("ddpm/steps.npz", "ddpm/guidance.npz")
STEP = re.compile(r"(EPSILON|START_X|PREVIOUS_X)-(.+)-(clip|noclip)/out/([\w.]+)$")


def cases(name):
    found = []
    for path in reference.files(name):
        arrays = reference.load(path)
        found += [
            pytest.param(arrays, case, id=case)
            for case in reference.cases(arrays)
            if f"{case}/in/t" in arrays and f"{case}/in/model_output" in arrays  # the second recording has no output
        ]
    return found


def stored(arrays, case):
    """(the step of a recorded process, its inputs channels last)."""
    config = reference.only(reference.config(arrays, case), *PROCESS)
    inputs = reference.subset(arrays, f"{case}/in")
    images = {name: nhwc(a) for name, a in inputs.items() if name not in ("t", "x_start_u8")}
    step = Step(process_of(config), images["x_t"], inputs["t"], images["step_noise"], images["model_output"])
    return step, images


def expected(step, mean_type, kind, clip, quantity):
    """The recorded quantity, computed by jaxdiff."""
    clip = clip == "clip"
    if kind == "denoised_fn":
        half = lambda x0: 0.5 * x0 + 0.1  # noqa: E731
        if quantity == "pred_xstart":
            return step.x0(mean_type, clip, half)
        assert quantity == "mean", f"no test knows {quantity}"
        return step.mean(mean_type, "FIXED_SMALL", clip, half)
    if kind.startswith("ddim-eta"):
        return step.ddim(mean_type, float(kind.removeprefix("ddim-eta")), clip)
    if kind == "ddim_reverse":
        return step.ddim_reverse(mean_type, clip)
    return {
        "pred_xstart": lambda: step.x0(mean_type, clip),
        "sample": lambda: step.ancestral(mean_type, kind, clip),
        "mean": lambda: step.mean(mean_type, kind, clip),
        "log_variance": lambda: step.log_variance(mean_type, kind, clip),
        "variance": lambda: jnp.exp(step.log_variance(mean_type, kind, clip)),
    }[quantity]()


def guided(step, gradient, mean_type, kind, clip, quantity):
    """The recorded quantity of a guided step, computed by jaxdiff."""
    clip = clip == "clip"
    if quantity.startswith("ddim_sample_eta"):
        return step.ddim(mean_type, float(quantity.removeprefix("ddim_sample_eta")), clip, gradient=gradient)
    return {
        "condition_score_mean": lambda: step.ddim_mean(mean_type, clip, gradient),
        "condition_score_pred_xstart": lambda: step.x0(mean_type, clip, gradient=gradient),
        "ddim_pred_xstart": lambda: step.x0(mean_type, clip, gradient=gradient),
        "condition_mean": lambda: step.mean(mean_type, kind, clip, gradient=gradient),
        "p_sample": lambda: step.ancestral(mean_type, kind, clip, gradient=gradient),
    }[quantity]()


def kinds(arrays, case):
    """(words, recorded array) of every result of a case that some kind of step made."""
    for name, recorded in reference.subset(arrays, case).items():
        if name.count("/") == 2 and not name.startswith(("in/", "out/")):
            found = STEP.match(name)
            assert found, f"no test knows {name}"
            yield found.groups(), recorded


@pytest.mark.parametrize(("arrays", "case"), cases("ddpm/steps.npz"))
def test_forward_chain(arrays, case, x64):
    step, inputs = stored(arrays, case)
    recorded = {name: a for name, a in reference.subset(arrays, f"{case}/out").items() if not name.endswith("_f32")}
    found = forward(step, inputs["x_start"], inputs["x_t"], inputs["noise"])
    close(precond_of(step.process, "EPSILON").c_noise(step.sigma), recorded.pop("model_t"))
    assert set(found) == set(recorded)
    for name, array in found.items():
        close(nchw(array), recorded[name])


@pytest.mark.parametrize(("arrays", "case"), cases("ddpm/steps.npz"))
def test_steps(arrays, case, x64):
    step, _ = stored(arrays, case)
    results = list(kinds(arrays, case))
    assert results
    for words, recorded in results:
        close(nchw(expected(step, *words)), recorded)


@pytest.mark.parametrize(("arrays", "case"), cases("ddpm/guidance.npz"))
def test_guided_steps(arrays, case, x64):
    step, inputs = stored(arrays, case)
    # The stored gradient is that of x_t = x / sqrt(1 + sigma^2).
    gradient = lambda x, sigma: from_x(inputs["gradient"], sigma)  # noqa: E731
    results = list(kinds(arrays, case))
    assert results
    for words, recorded in results:
        close(nchw(guided(step, gradient, *words)), recorded)
    close(precond_of(step.process, "EPSILON").c_noise(step.sigma), arrays[f"{case}/out/cond_t"])
