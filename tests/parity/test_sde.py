"""VP, sub-VP and VE: marginals, drifts, chains and networks' scores against recorded ones."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import likelihood, precond, process
from jaxdiff.samplers import predictors
from jaxdiff.types import expand
from tests.parity.score_sde import (
    denoiser_of,
    discrete_labels,
    float64,
    marginals_of,
    score_of,
    sde_of,
    tiny_params,
    tiny_score,
)  # fmt: skip
from tests.parity.score_sde_cases import cases
from tests.support import reference
from tests.support.arrays import close

READS = ("score_sde/sde_*.npz", "score_sde/score_wrappers*.npz")
# The first set's names of outputs of the second.
FIRST_NAMES = {
    "f": "discretize_f", "G": "discretize_G", "prior_sample_from_unit_noise": "prior_sample",
    "rev_drift": "rsde_drift", "rev_diffusion": "rsde_diffusion", "rev_f": "rsde_discretize_f",
    "rev_G": "rsde_discretize_G", "revode_drift": "pf_drift", "revode_f": "pf_discretize_f",
    "revode_G": "pf_discretize_G",
}  # fmt: skip
definitions = pytest.mark.parametrize("case", cases(*READS, kind="sde", marks=("sde",)))


@definitions
def test_definitions(case, x64):
    config, arrays, sde = case.options(), case.inputs, sde_of(case.config)
    num_steps = config["N"]
    x, t, z = (float64(arrays[f"in/{name}"]) for name in ("x", "t", "z"))
    if "in/score" in arrays:
        score = float64(arrays["in/score"])
    else:
        score = score_of(arrays, sde)(x, t)
        # A denoiser's score loses the digits that x0 and std do not share; sub-VP's std is 1e-6 at t = 1e-5.
        through_denoiser = process.reverse_sde.score(sde, denoiser_of(arrays), x, t)
        np.testing.assert_allclose(through_denoiser[sde.std(t) > 1e-3], score[sde.std(t) > 1e-3], rtol=1e-7)
    f, g = sde.step(t, num_steps)
    reverse, ode = (update(sde, x, t, score, num_steps) for update in
                     (predictors.reverse_diffusion, predictors.reverse_diffusion_flow))  # fmt: skip
    found = {
        "mean": expand(sde.a(t), x) * x,
        "std": sde.std(t),
        "drift": expand(sde.f(t), x) * x,
        "diffusion": sde.g(t),
        "T": 1.0,
        "prior_logp": likelihood.prior_log_prob(sde, z),
        "prior_sample": sde.prior_std * float64(arrays.get("in/prior_noise", z)),
        "discretize_f": expand(f, x) * x,
        "discretize_G": g,
        "score_continuous": score,
        "rsde_drift": process.reverse_sde.reverse_drift(sde, score, x, t),
        "rsde_diffusion": sde.g(t),
        "rsde_discretize_f": x - reverse[0],
        "rsde_discretize_G": reverse[1],
        "pf_drift": process.reverse_sde.reverse_drift(sde, score, x, t, share=0.5),
        "pf_diffusion": 0 * t,
        "pf_discretize_f": x - ode[0],
        "pf_discretize_G": ode[1],
        "labels_continuous": sde.std(t)
        if config["sde"] == "ve"
        else precond.score_sde.eps(sde).c_noise(sde.std(t) / sde.a(t)),
        "labels_discrete": discrete_labels(config, t),
        "timestep_index": np.floor(np.asarray(t) * (num_steps - 1)),
    }
    if "out/score_discrete" in arrays:
        found["score_discrete"] = score_of(arrays, marginals_of({**config, "continuous": False}, sde))(x, t)
    for name, recorded in case.recorded.items():
        if not name.endswith("_f32"):
            # The recorded 1 - exp(...) loses digits near t = 0.
            close(found[FIRST_NAMES.get(name, name)], recorded, rtol=1e-8)


@definitions
def test_tables_of_the_chain(case, x64):
    """The library's steps at the times that belong to each index, in order and along the samplers' grids."""
    config, sde = case.options(), sde_of(case.config)
    num_steps, last = config["N"], config["N"] - 1
    found = {}
    if config["sde"] == "subvp":
        with pytest.raises(ValueError, match="no chain of steps"):
            process.sde.chain_marginals(sde, num_steps)
    else:
        f, g = sde.step(np.arange(num_steps) / last, num_steps)
        chained = process.sde.chain_marginals(sde, num_steps)
        a, std = (of(np.arange(num_steps) / last) for of in (chained.a, chained.std))
        found = {
            "discrete_betas": g**2, "alphas": (1 + f) ** 2, "alphas_cumprod": a**2, "sqrt_alphas_cumprod": a,
            "sqrt_1m_alphas_cumprod": std, "discrete_sigmas": std, "model_sigmas_descending": std[::-1],
        }  # fmt: skip
    for name, recorded in reference.subset(case.inputs, "table").items():
        if name in ("sqrt_1m_alphas_cumprod_f32", "discrete_sigmas_f32"):  # for information
            continue
        if name.startswith("ddpm_params_"):
            check_ddpm_params(name.removeprefix("ddpm_params_"), recorded, config)
        elif name.startswith("sampler_t_eps"):
            grid = process.sde.grid(sde, num_steps, float(name.removeprefix("sampler_t_eps")))
            close(grid[:-1], sde.std(recorded) / sde.a(recorded), rtol=1e-8)
        elif name.startswith("sampler_index_eps"):
            check_index(name.removeprefix("sampler_index_eps"), recorded, sde, num_steps)
        else:
            close(found[name], recorded)


def check_index(eps, recorded, sde, num_steps):
    """The step that the library takes at a sampler's time is that of the recorded index, in float32 too."""
    dtype = np.float32 if eps.endswith("_f32") else np.float64
    t = jnp.asarray(np.linspace(1, float(eps.removesuffix("_f32")), num_steps).astype(dtype))
    if sde.ancestral_std is None:  # steps of its own for every time, and no index
        np.testing.assert_array_equal(recorded, np.arange(num_steps)[::-1])
        return
    _, g = sde.step(recorded / (num_steps - 1), num_steps)
    np.testing.assert_allclose(sde.step(t, num_steps)[1], g, rtol=1e-5 if dtype == np.float32 else 1e-12)


def check_ddpm_params(name, recorded, config):
    """A helper of the authors, of 1000 steps whatever N is, between the end betas of N."""
    scale = 1000 / config["N"]
    wide = process.sde.vp(config["beta_min"] * scale, config["beta_max"] * scale)
    betas = wide.step(np.arange(1000) / 999, 1000)[1] ** 2
    found = {
        "betas": betas, "alphas": 1 - betas, "alphas_cumprod": np.cumprod(1 - betas), "beta_min": 999 * betas[0],
        "beta_max": 999 * betas[-1], "sqrt_alphas_cumprod": np.cumprod(1 - betas) ** 0.5,
        "sqrt_1m_alphas_cumprod": (1 - np.cumprod(1 - betas)) ** 0.5, "num_diffusion_timesteps": 1000,
    }  # fmt: skip
    close(found[name], recorded)


@pytest.mark.parametrize("case", cases(*READS, kind="legacy"))
def test_tables_of_older_models(case, x64):
    config = case.options("num_scales")
    num_steps, t = config["num_scales"], np.arange(config["num_scales"]) / (config["num_scales"] - 1)
    ve = process.sde.ve(config["sigma_min"], config["sigma_max"])
    found = {"smld_sigmas_descending": process.sde.chain_marginals(ve, num_steps).std(t)[::-1]}
    if any("ddpm" in name for name in case.inputs):
        vp = process.sde.vp(config["beta_min"], config["beta_max"])
        chained = process.sde.chain_marginals(vp, num_steps)
        found |= {
            "ddpm_betas": vp.step(t, num_steps)[1] ** 2, "ddpm_alphas_cumprod": chained.a(t) ** 2,
            "ddpm_sqrt_alphas_cumprod": chained.a(t), "ddpm_sqrt_1m_alphas_cumprod": chained.std(t),
        }  # fmt: skip
    for name, recorded in reference.subset(case.inputs, "table").items():
        close(found[name], recorded)


@pytest.mark.parametrize("case", cases(*READS, kind="score", marks=()))
def test_scores_of_networks(case, x64):
    config, sde, params = case.options(), sde_of(case.config), tiny_params(case.inputs)
    x, t = (float64(case.inputs[f"in/{name}"]) for name in ("x", "t"))
    parametrisation = precond.score_sde.eps(sde)
    found = {
        "labels_continuous": sde.std(t) if config["sde"] == "ve" else parametrisation.c_noise(sde.std(t) / sde.a(t))
    }
    found["labels_discrete"] = discrete_labels(config, t)
    for mode in ("continuous", "discrete"):
        options = {**config, "continuous": mode == "continuous"}
        found[f"score_{mode}"] = tiny_score(params, options, sde)(x, t)
    for name, recorded in case.recorded.items():
        close(found[name], recorded, rtol=1e-8)
