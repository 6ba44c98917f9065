"""Score matching where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import process
from jaxdiff.losses.score import score_loss, sliced_score_loss
from jaxdiff.timesteps.times import likelihood_times, uniform_times
from jaxdiff.types import expand

SDES = {"vp": process.sde.vp(), "subvp": process.sde.subvp(), "ve": process.sde.ve(0.02, 20.0)}
all_sdes = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
EPSILON = 1e-3


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
    loss = lambda w: jnp.mean(sliced_score_loss(lambda x, t: -w * x, x, jnp.ones(len(x)), probes))  # noqa: E731
    best = 1 / jnp.mean(x**2)
    assert abs(jax.grad(loss)(best)) < 1e-9
    np.testing.assert_allclose(best, 0.25, rtol=0.02)
