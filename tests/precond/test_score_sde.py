"""Parametrisations and scores of networks in continuous time: identities with the SDE's closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, precond, process
from jaxdiff.types import expand

SDES = {"vp": process.sde.vp(), "subvp": process.sde.subvp(), "ve": process.sde.ve(0.02, 20.0)}
MIXTURE = gaussian_mixture.mixture([[-1.0, 0.3], [0.6, -0.5]], [0.4, 0.6], 0.09)


def precond_of(name):
    return precond.ve(0.02, 20.0) if name == "ve" else precond.score_sde.eps(SDES[name])


def exact_network(name):
    """The F whose denoiser is the mixture's own: it undoes c_in and c_noise."""
    parametrisation, sde = precond_of(name), SDES[name]

    def apply_fn(params, x, c_noise):
        sigma = 2 * jnp.exp(c_noise) if name == "ve" else sde.std(c_noise / 999) / sde.a(c_noise / 999)
        x = x / expand(parametrisation.c_in(sigma), x)
        denoised = gaussian_mixture.denoiser(MIXTURE, x, sigma)
        return (denoised - expand(parametrisation.c_skip(sigma), x) * x) / expand(parametrisation.c_out(sigma), x)

    return apply_fn


def test_vp_is_edm_s_parametrisation(x64):
    """Two ways to one parametrisation: from the SDE, and from the schedule."""
    ours, theirs = precond.score_sde.eps(process.sde.vp()), precond.vp()
    sigma = jnp.geomspace(0.01, 100.0, 9)
    for name in ("c_skip", "c_out", "c_in", "c_noise"):
        np.testing.assert_allclose(getattr(ours, name)(sigma), getattr(theirs, name)(sigma), rtol=1e-9)
    np.testing.assert_allclose((ours.sigma_min, ours.sigma_max), (theirs.sigma_min, theirs.sigma_max), rtol=1e-9)


@pytest.mark.parametrize("name", SDES)
def test_the_network_s_score_is_the_mixture_s(name, x64):
    sde = SDES[name]
    t = jnp.array([1e-3, 0.1, 0.5, 1.0])
    x = jax.random.normal(jax.random.key(0), (4, 2))
    apply_fn = exact_network(name)
    found = precond.score_sde.score(apply_fn, None, precond_of(name), sde)(x, t)
    a = expand(sde.a(t), x)
    np.testing.assert_allclose(found, gaussian_mixture.score(MIXTURE, x / a, sde.std(t) / sde.a(t)) / a, rtol=1e-6)
    by_denoiser = process.reverse_sde.score(sde, precond.denoiser(apply_fn, None, precond_of(name)), x, t)
    np.testing.assert_allclose(found, by_denoiser, rtol=1e-6)


def test_no_cancellation_error_where_std_is_tiny():
    """Sub-VP at t = 1e-5, std 1e-6, in float32: a network that says 1 has the score -1 / std to rounding."""
    sde = SDES["subvp"]
    one = lambda params, x, c_noise: jnp.ones_like(x)  # noqa: E731
    found = precond.score_sde.score(one, None, precond_of("subvp"), sde)(jnp.full((1, 2), 0.7), jnp.array(1e-5))
    np.testing.assert_allclose(found, -1 / sde.std(np.float64(1e-5)), rtol=1e-5)


def test_labels_are_one_time_or_one_an_example():
    apply_fn = partial(lambda params, x, c_noise: x * expand(c_noise, x), None)
    score = precond.score_sde.score(lambda params, x, c_noise: apply_fn(x, c_noise), None, precond_of("vp"), SDES["vp"])
    x = jnp.ones((3, 2))
    np.testing.assert_allclose(score(x, jnp.array(0.5)), score(x, jnp.full(3, 0.5)), rtol=1e-6)
