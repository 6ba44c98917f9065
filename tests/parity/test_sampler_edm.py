"""EDM's sampler (Karras et al. 2022, Alg. 2) against its recorded runs with an exact denoiser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture
from jaxdiff.samplers import churn, heun, sample
from tests.parity.edm_networks import levels, nearest, sampler_options
from tests.support import reference

READS = ("edm/sampler_edm.npz",)
CASES = [(path, case) for path in reference.files(*READS) for case in reference.cases(reference.load(path))]


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda value: getattr(value, "stem", value))
def test_sampler(path, case, x64):
    arrays = reference.load(path)
    config = reference.only(
        reference.config(arrays, case), "kwargs", "net_sigma_min", "net_sigma_max", "uses_table", kind=("edm_sampler",)
    )
    options, churned = sampler_options(config["kwargs"])
    weights = arrays["mixture/weights"].astype(np.float64)
    if f"{case}/in/class_labels" in arrays:
        weights = weights * arrays[f"{case}/in/class_labels"]
    mixture = gaussian_mixture.Mixture(
        arrays["mixture/means"].astype(np.float64), weights, arrays["mixture/var"].astype(np.float64)
    )
    calls = []

    def denoise(x, sigma):
        jax.debug.callback(lambda *call: calls.append(call), x, sigma, ordered=True)
        return gaussian_mixture.denoiser(mixture, x, sigma)

    round_sigma = nearest(arrays["in/table"]) if config["uses_table"] else (lambda sigma: sigma)
    sigmas = levels(options, config["net_sigma_min"], config["net_sigma_max"])
    sigmas[:-1] = [round_sigma(sigma) for sigma in sigmas[:-1]]
    np.testing.assert_allclose(sigmas, arrays[f"{case}/out/t_steps"], rtol=1e-12)

    sampler, noise = heun(), None
    if churned.get("s_churn", 0) > 0:
        sampler = churn(heun(), **churned, round_sigma=round_sigma)
        noise = (jnp.asarray(arrays[f"{case}/in/noise"], jnp.float64), ())
    x = sigmas[0] * jnp.asarray(arrays["in/latents"], jnp.float64)
    out = jax.block_until_ready(sample(sampler, denoise, x, sigmas, noise=noise))
    jax.effects_barrier()
    np.testing.assert_allclose(out, arrays[f"{case}/out/final"], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose([sigma for _, sigma in calls], arrays[f"{case}/out/net_sigma"], rtol=1e-10)
    np.testing.assert_allclose([x for x, _ in calls], arrays[f"{case}/out/net_x"], rtol=1e-9, atol=1e-9)
