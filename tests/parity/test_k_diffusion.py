"""k-diffusion's samplers and grids against their recorded runs: what the page of names says is equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, grids
from jaxdiff.samplers import churn, ddim, dpmpp_2m, euler, heun, sample
from tests.support import reference
from tests.support.arrays import close

SAMPLERS, GRIDS = "solvers/k_diffusion_samplers.npz", "solvers/k_diffusion_grids.npz"
READS = (SAMPLERS, GRIDS)
CHURN = {"s_churn": "s_churn", "s_tmin": "s_min", "s_tmax": "s_max", "s_noise": "s_noise"}


def every_case(pattern):
    return [(path, case) for path in reference.files(pattern) for case in reference.cases(reference.load(path))]


def ancestral(options):
    """(our sampler, the factor on its noise) of euler_ancestral."""
    reference.only(options, "eta", "s_noise")
    return ddim(options.get("eta", 1.0)), options.get("s_noise", 1.0)


def plain(options):
    """DPM-Solver++(2M), which has no options."""
    reference.only(options)
    return dpmpp_2m(), 1.0


def churned(sampler):
    """Of a sampler with churn, where there is any; the factor on its noise is an option of ours too."""

    def make(options):
        reference.only(options, *CHURN)
        ours = {CHURN[name]: value for name, value in options.items()}
        return churn(sampler, **ours) if ours else sampler, 1.0

    return make


MAKERS = {
    "euler_ancestral": ancestral,
    "euler": churned(euler()),
    "heun": churned(heun()),
    "dpmpp_2m": plain,
}


def draws(sampler, recorded, factor, num_steps, shape):
    """Recorded noise as the sampler draws it; steps that asked for none multiply it by 0."""
    drawn = jax.eval_shape(sampler.draw, jax.random.key(0), jnp.zeros(shape[1:]))
    if not jax.tree.leaves(drawn):
        return None
    missing = np.zeros((num_steps - len(recorded), *shape))
    z = factor * jnp.asarray(np.concatenate([recorded.astype(np.float64), missing]))
    return (z, ()) if isinstance(drawn, tuple) else z


@pytest.mark.parametrize(("path", "case"), every_case(SAMPLERS), ids=lambda value: getattr(value, "stem", value))
def test_sampler(path, case, x64):
    arrays = reference.load(path)
    config = reference.only(
        reference.config(arrays, case), "sampler", "options", "grid", "grid_options", kind=("sample",),
        denoiser=("mixture",),
    )  # fmt: skip
    sampler, factor = MAKERS[config["sampler"]](config["options"])
    means, weights, variances = (arrays[f"mixture/{name}"].astype(np.float64) for name in ("means", "weights", "var"))
    mixture, calls = gaussian_mixture.mixture(means, weights, variances), []

    def denoise(x, sigma):
        jax.debug.callback(lambda *call: calls.append(call), x, sigma, ordered=True)
        return gaussian_mixture.denoiser(mixture, x, sigma)

    sigmas, latents = arrays[f"{case}/in/sigmas"], jnp.asarray(arrays["in/latents"], jnp.float64)
    recorded = arrays.get(f"{case}/noise/z", np.zeros((0, *latents.shape)))
    noise = draws(sampler, recorded, factor, len(sigmas) - 1, latents.shape)
    out = jax.block_until_ready(
        jax.jit(lambda x: sample(sampler, denoise, x, sigmas, noise=noise))(sigmas[0] * latents)
    )
    jax.effects_barrier()
    close(out, arrays[f"{case}/out/final"], 1e-9)
    close([x for x, _ in calls], arrays[f"{case}/out/net_x"], 1e-9)
    close([sigma for _, sigma in calls], arrays[f"{case}/out/net_sigma"], 1e-9)


def grid_of(config):
    """Our grid of a recorded one; k-diffusion's VP takes betas, ours the levels at its ends."""
    reference.only(
        config, "n", "sigma_min", "sigma_max", "rho", "beta_d", "beta_min", "eps_s",
        kind=("grid",), grid=("karras", "exponential", "vp"),
    )  # fmt: skip
    ends = {name: config[name] for name in ("sigma_min", "sigma_max", "rho") if name in config}
    if config["grid"] != "vp":
        return {"karras": grids.karras, "exponential": grids.ve}[config["grid"]](config["n"], **ends)
    epsilon = config.get("eps_s", 1e-3)
    betas = config.get("beta_d", 19.9), config.get("beta_min", 0.1)
    return grids.vp(config["n"], *grids.vp_sigma(np.array([epsilon, 1.0]), *betas).tolist(), epsilon)


@pytest.mark.parametrize(("path", "case"), every_case(GRIDS), ids=lambda value: getattr(value, "stem", value))
def test_grid(path, case):
    arrays = reference.load(path)
    np.testing.assert_allclose(
        grid_of(reference.config(arrays, case)), arrays[f"{case}/out/sigmas"], rtol=1e-12, atol=1e-15
    )
