"""Score matching where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from jaxdiff import sde as sdes
from jaxdiff.losses.score import likelihood_times, score_loss, sliced_loss, uniform_times
from jaxdiff.types import expand

SDES = {"vp": sdes.vp(), "subvp": sdes.subvp(), "ve": sdes.ve(0.02, 20.0)}
all_sdes = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
EPSILON = 1e-3


@all_sdes
def test_importance_times_have_the_weight_s_density(sde, x64):
    """Z is the integral of g^2 / std^2, and a share u of it lies below t(u)."""
    weight = lambda t: float(sde.g(np.float64(t)) ** 2 / sde.std(np.float64(t)) ** 2)  # noqa: E731
    t, total = likelihood_times(sde, jnp.array([0.0, 0.3, 0.8]), EPSILON)
    np.testing.assert_allclose(quad(weight, EPSILON, 1.0, limit=200)[0], total, rtol=1e-6)
    np.testing.assert_allclose(t[0], EPSILON, rtol=1e-6)
    for share, end in ((0.3, t[1]), (0.8, t[2])):
        np.testing.assert_allclose(quad(weight, EPSILON, float(end), limit=200)[0], share * total, rtol=1e-6)


@all_sdes
def test_importance_sampling_is_likelihood_weighting_in_expectation(sde, x64):
    """By the midpoint rule over u, for a score that is wrong in a known way: two integrals, one number."""
    u = (jnp.arange(20_000) + 0.5) / 20_000
    x0 = noise = jnp.ones((20_000, 1))

    def wrong(x, t):
        return -expand(1 / sde.std(t), x) * (1 + expand(t, x)) * noise

    t = uniform_times(u, EPSILON)
    weighted = jnp.mean(score_loss(wrong, sde, x0, t, noise, lambda t: sde.g(t) ** 2)) * (1 - EPSILON)
    t, total = likelihood_times(sde, u, EPSILON)
    importance = total * jnp.mean(score_loss(wrong, sde, x0, t, noise))
    np.testing.assert_allclose(importance, weighted, rtol=1e-4)


def test_sliced_score_matching_finds_the_score(x64):
    """For x ~ N(0, 4) and the scores -w x, the loss is least at w = 1/4, whatever the probes."""
    x = 2 * jax.random.normal(jax.random.key(0), (200_000, 1))
    probes = jax.random.rademacher(jax.random.key(1), x.shape, x.dtype)
    loss = lambda w: jnp.mean(sliced_loss(lambda x, t: -w * x, x, jnp.ones(len(x)), probes))  # noqa: E731
    best = 1 / jnp.mean(x**2)
    assert abs(jax.grad(loss)(best)) < 1e-9
    np.testing.assert_allclose(best, 0.25, rtol=0.02)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.1])
def test_bad_epsilon(epsilon):
    for times in (likelihood_times, lambda sde, u, e: uniform_times(u, e)):
        with pytest.raises(ValueError, match="epsilon must lie between 0 and 1"):
            times(SDES["vp"], jnp.zeros(1), epsilon)
