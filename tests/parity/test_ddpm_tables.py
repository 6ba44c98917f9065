"""Chains, their tables, respacing and the time that a network is given, against recorded ones."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import precond, process
from jaxdiff.process import respacing, reverse_kernel
from tests.parity.ddpm_process import PROCESS, betas_of, process_of
from tests.support import reference
from tests.support.arrays import close

READS = ("ddpm/tables*.npz", "ddpm/respacing.npz")
TABLES = {
    "betas": lambda t: t.betas,
    "alphas_cumprod": lambda t: t.alpha_bar,
    "alphas_cumprod_prev": lambda t: t.alpha_bar_prev,
    "alphas_cumprod_next": lambda t: t.alpha_bar_next,
    "sqrt_alphas_cumprod": lambda t: np.sqrt(t.alpha_bar),
    "sqrt_one_minus_alphas_cumprod": lambda t: np.sqrt(1 - t.alpha_bar),
    "sqrt_recip_alphas_cumprod": lambda t: np.sqrt(1 / t.alpha_bar),
    "sqrt_recipm1_alphas_cumprod": lambda t: np.sqrt(1 / t.alpha_bar - 1),
    "log_one_minus_alphas_cumprod": lambda t: np.log(1 - t.alpha_bar),
    "posterior_mean_coef1": lambda t: t.posterior_mean_coef1,
    "posterior_mean_coef2": lambda t: t.posterior_mean_coef2,
    "posterior_variance": lambda t: t.posterior_variance,
    "posterior_log_variance_clipped": lambda t: np.log(np.append(t.decoder_variance, t.posterior_variance[1:])),
    "fixed_small_variance": lambda t: t.posterior_variance,
    "fixed_small_log_variance": lambda t: np.log(np.append(t.decoder_variance, t.posterior_variance[1:])),
    "fixed_large_variance": lambda t: np.append(t.decoder_variance, t.betas[1:]),
    "fixed_large_log_variance": lambda t: np.log(np.append(t.decoder_variance, t.betas[1:])),
}
NOT_TABLES = {"timestep_map", "num_timesteps", "original_num_steps", "t", "model_time_rescaled"}


def all_cases():
    found = []
    for path in reference.files(*READS):
        arrays = reference.load(path)
        found += [pytest.param(arrays, case, id=f"{path.stem}-{case}") for case in reference.cases(arrays)]
    return found


@pytest.mark.parametrize(("arrays", "case"), all_cases())
def test_tables(arrays, case):
    config = reference.only(reference.config(arrays, case), "kind", *PROCESS)
    recorded = reference.subset(arrays, f"{case}/out") | reference.subset(arrays, f"{case}/table")
    if "counts" in recorded:
        assert unreachable(int(case.removeprefix("ddim_unreachable_"))) == recorded["counts"].tolist()
        return
    if "t" in recorded:
        own = process_of(config)
        eps = precond.ddpm.eps(own.trained, own.scale)
        labels = eps.c_noise(jnp.asarray(own.sigmas[1:], jnp.float32))
        close(labels, recorded["t"], rtol=1e-6)
        return
    betas = process_of(config).betas if config.get("respacing") else betas_of(config)
    length = config.get("steps", config.get("num_timesteps"))
    if "timestep_map" in recorded:
        steps = respacing.space(length, config["respacing"])
        assert steps == recorded["timestep_map"].tolist()
        assert len(betas) == len(steps)
    if "num_timesteps" in recorded:
        assert (len(betas), length) == (recorded["num_timesteps"], recorded["original_num_steps"])
    if "model_time_rescaled" in recorded:
        own = process_of({**config, "rescale_timesteps": True})
        labels = precond.ddpm.eps(own.trained, own.scale).c_noise(jnp.asarray(own.sigmas[1:], jnp.float32))
        close(labels, recorded["model_time_rescaled"], rtol=1e-6)
    tables = process.betas.tables(betas)
    for name in set(recorded) - NOT_TABLES:
        # What the recorded log(1 - alpha_bar) leaves of float64 where alpha_bar is small.
        lost = 1e-15 if name == "log_one_minus_alphas_cumprod" else 0
        np.testing.assert_allclose(TABLES[name](tables), recorded[name], rtol=1e-9, atol=lost, err_msg=name)


def unreachable(length):
    """The N from 1 to 60 of which no stride through the chain makes N steps."""

    def fails(count):
        try:
            respacing.space(length, f"ddim{count}")
        except ValueError:
            return True
        return False

    return [count for count in range(1, 61) if fails(count)]


@pytest.mark.parametrize("path", reference.files("ddpm/respacing.npz"), ids=reference.ids)
def test_spaced_steps(path):
    arrays = reference.load(path)
    for case in json.loads(str(arrays["out/space_timesteps_json"])):
        assert respacing.space(case["num_timesteps"], case["section_counts"]) == case["steps"]
    for case in json.loads(str(arrays["out/space_timesteps_errors_json"])):
        with pytest.raises(ValueError, match="steps"):
            respacing.space(case["num_timesteps"], case["section_counts"])


@pytest.mark.parametrize(
    "betas",
    [process.betas.linear(1000), process.betas.cosine(50), process.betas.quadratic(100), process.betas.constant(9)],
)
def test_levels_say_the_same_as_tables(betas, x64):
    """Identities between the library's coordinates and DDPM's."""
    tables, sigmas = process.betas.tables(betas), process.betas.sigmas(betas)[::-1]
    np.testing.assert_allclose(1 / (1 + sigmas[1:] ** 2), tables.alpha_bar, rtol=1e-10)
    np.testing.assert_allclose(process.betas.from_sigmas(sigmas[::-1]), betas, rtol=1e-9)
    high, low = jnp.asarray(sigmas[2:]), jnp.asarray(sigmas[1:-1])
    native = 1 / (1 + low**2)
    np.testing.assert_allclose(reverse_kernel.small(high, low) * native, tables.posterior_variance[1:], rtol=1e-9)
    np.testing.assert_allclose(reverse_kernel.large(high, low) * native, betas[1:], rtol=1e-9)
