"""The page of names in other libraries: every call in a column "here" works, and no name of theirs is left out."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, grids
from jaxdiff.precond import Preconditioning
from jaxdiff.process.sde import SDE
from jaxdiff.samplers import Sampler, sample
from tests.support.commands import ROOT

PAGE = (ROOT / "docs" / "choose" / "names.md").read_text()
NOT_YET = "not yet"
CALL = re.compile(r"`([^`]+)`")
BEYOND_THE_CHAIN = 24
"""Steps; VP's chain needs more than 20."""

DIFFUSERS = """
AmusedScheduler CMStochasticIterativeScheduler CogVideoXDDIMScheduler CogVideoXDPMScheduler ConsistencyDecoderScheduler
CosineDPMSolverMultistepScheduler DDIMInverseScheduler DDIMParallelScheduler DDIMScheduler DDPMParallelScheduler
DDPMScheduler DDPMWuerstchenScheduler DEISMultistepScheduler DPMSolverMultistepInverseScheduler
DPMSolverMultistepScheduler DPMSolverSDEScheduler DPMSolverSinglestepScheduler EDMDPMSolverMultistepScheduler
EDMEulerScheduler EulerAncestralDiscreteScheduler EulerDiscreteScheduler FlowMatchEulerDiscreteScheduler
FlowMatchHeunDiscreteScheduler FlowMatchLCMScheduler HeunDiscreteScheduler IPNDMScheduler
KDPM2AncestralDiscreteScheduler KDPM2DiscreteScheduler KarrasVeScheduler LCMScheduler LMSDiscreteScheduler PNDMScheduler
RePaintScheduler SASolverScheduler SCMScheduler ScoreSdeVeScheduler ScoreSdeVpScheduler TCDScheduler UnCLIPScheduler
UniPCMultistepScheduler VQDiffusionScheduler
"""
"""What diffusers 0.35.2 exports from its schedulers, but for base classes and the Flax versions."""
K_DIFFUSION = """
get_sigmas_karras get_sigmas_exponential get_sigmas_polyexponential get_sigmas_vp sample_euler sample_euler_ancestral
sample_heun sample_dpm_2 sample_dpm_2_ancestral sample_lms log_likelihood sample_dpm_fast sample_dpm_adaptive
sample_dpmpp_2s_ancestral sample_dpmpp_sde sample_dpmpp_2m sample_dpmpp_2m_sde sample_dpmpp_3m_sde
"""
"""Grids and samplers of k_diffusion.sampling."""
EDM = "steps sigma_min sigma_max rho S_churn S_min S_max S_noise solver disc schedule scaling seeds"
"""Flags of EDM's generate.py that choose numbers."""
OPTIONS = """
beta_schedule trained_betas rescale_betas_zero_snr timestep_spacing steps_offset use_karras_sigmas
use_exponential_sigmas use_beta_sigmas use_lu_lambdas use_flow_sigmas prediction_type thresholding clip_sample
use_clipped_model_output set_alpha_to_one final_sigmas_type solver_order s_churn s_tmin s_tmax s_noise lower_order_final
denoise_to_zero skip_type
"""
"""Options of diffusers' schedulers, of k-diffusion's samplers and of DPM-Solver's."""


def rows():
    """(theirs, ours, agreement) of every table of the page."""
    cells = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    assert all(len(row) == 3 for row in cells), [row for row in cells if len(row) != 3]
    return [tuple(cell.strip(" |") for cell in row) for row in cells if row[1].strip() != "here"]


@cache
def namespace():
    """What the page's own blocks leave."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "names.md", "exec"), names)
    return names


CALLS = sorted({call for _, ours, _ in rows() for call in CALL.findall(ours) if "experiments" not in call})


@pytest.mark.parametrize("call", CALLS)
def test_a_call_works(call):
    found = eval(call, dict(namespace()))
    if isinstance(found, Sampler):
        draw_from_the_mixture(found, learned="learned" in call)
    elif isinstance(found, np.ndarray):
        assert np.all(np.isfinite(found))
        assert np.all(np.diff(grids.check(found)) < 0) if found[0] > 1 else np.all((found > 0) & (found < 1))
    else:
        assert isinstance(found, Preconditioning | SDE) or callable(found)


def draw_from_the_mixture(sampler, learned):
    """A model of learned variances returns values for them too: here next to no variance."""
    mixture, sigmas = gaussian_mixture.ring(), grids.karras(BEYOND_THE_CHAIN)

    def denoise(x, sigma):
        x0_hat = gaussian_mixture.denoiser(mixture, x, sigma)
        return (x0_hat, 0 * x - 10) if learned else x0_hat

    x = sigmas[0] * jax.random.normal(jax.random.key(0), (4, 2))
    out = sample(sampler, denoise, x, sigmas, key=jax.random.key(1))
    assert bool(jnp.all(jnp.isfinite(out)))
    assert bool(jnp.all(jnp.abs(out) < 3)), "samples are near the ring of radius 1"


def test_each_row_has_a_call_or_says_that_there_is_none():
    assert len(rows()) > 80
    for theirs, ours, agreement in rows():
        assert bool(CALL.findall(ours)) != (ours == NOT_YET), theirs
        assert theirs
        assert agreement or ours == NOT_YET, f"{theirs}: how far do they agree?"


@pytest.mark.parametrize(
    "names", [DIFFUSERS, K_DIFFUSION, EDM, OPTIONS], ids=["diffusers", "k-diffusion", "EDM", "options"]
)
def test_no_name_is_left_out(names):
    assert not [name for name in names.split() if not re.search(rf"(?<!\w){name}(?!\w)", PAGE)]


def test_equal_by_a_recorded_run_names_one():
    """Sections whose rows say "recorded" name the test that compares."""
    for section in PAGE.split("\n## ")[1:]:
        if ", recorded" in section:
            tests = re.findall(r"`(tests/parity/test_\w+\.py)`", section)
            assert tests, section.splitlines()[0]
            assert all((ROOT / path).exists() for path in tests)


STEPS = {
    "chain(range(0, 1000, 20))": np.arange(0, 50)[::-1] * 20,
    "chain(range(1, 1001, 20))": np.arange(0, 50)[::-1] * 20 + 1,
    "chain(range(19, 1000, 20))": np.round(np.arange(1000, 0, -20)) - 1,
    "chain(respacing.evenly(1000, n))": np.linspace(0, 999, 24).round()[::-1],
    "chain(respacing.evenly(1000, n + 1)[1:])": np.linspace(0, 999, 25).round()[::-1][:-1],
}
"""Our levels, and diffusers' timesteps: leading, with an offset, trailing, linspace, and those of DPM-Solver."""
BETAS = {
    "betas.linear(1000, 1e-4, 0.02)": np.linspace(1e-4, 0.02, 1000),
    "betas.quadratic(1000, 0.00085, 0.012)": np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2,
}
"""Our betas, and those by diffusers' formulas."""


@pytest.mark.parametrize("call", STEPS)
def test_levels_are_those_of_the_timesteps(call):
    assert call in CALLS
    alpha_bar = np.cumprod(1 - namespace()["b"])
    sigmas = np.sqrt((1 - alpha_bar) / alpha_bar)[STEPS[call].astype(int)]
    np.testing.assert_allclose(eval(call, dict(namespace())), np.append(sigmas, 0.0), rtol=1e-9)


@pytest.mark.parametrize("call", BETAS)
def test_betas_are_those_of_the_schedule(call):
    assert call in CALLS
    np.testing.assert_allclose(eval(call, dict(namespace())), BETAS[call], rtol=1e-12)
