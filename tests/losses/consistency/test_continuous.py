"""The derivative of a consistency function along trajectories of Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses import consistency, distances
from jaxdiff.losses.consistency.continuous import ode_slope, stopped_tangent_loss, tangent, tangent_loss
from jaxdiff.timesteps.levels import karras_sigma
from jaxdiff.types import expand
from tests.support.gaussian_consistency import SPAN, consistency_fn, denoise, draw

f = consistency_fn()


def test_tangent_is_zero_at_the_consistency_function(x64):
    x0, noise = draw(jax.random.key(1), 512)
    sigma = karras_sigma(jnp.linspace(0, 1, 512), **SPAN)
    x = x0 + expand(sigma, x0) * noise
    slope = ode_slope(denoise, x, sigma)
    value, derivative = tangent(f, x, sigma, slope)
    np.testing.assert_allclose(derivative, 0, atol=1e-13)
    np.testing.assert_allclose(value, f(x, sigma))
    np.testing.assert_allclose(tangent_loss(f, x, sigma, slope, distance=distances.l1), 0, atol=1e-13)
    with_noise = tangent(f, x, sigma, noise)[1]
    assert np.abs(with_noise).mean() > 0.05  # for one line; the mean over the lines through x is 0


def test_stopped_loss_is_the_limit_of_the_discrete_one(x64):
    """grad d(f(x), stop f(x'))^2 = 2 h grad(f . stop(df/dsigma)) + O(h^2), for the same pairs."""
    x0, noise = draw(jax.random.key(1), 512)
    sigma = karras_sigma(jnp.linspace(0.01, 0.99, 512), **SPAN)
    x = x0 + expand(sigma, x0) * noise
    wrong = jnp.array([0.0, 0.0])
    limit = jax.grad(lambda p: jnp.mean(stopped_tangent_loss(consistency_fn(p), x, sigma, noise)))(wrong)

    def discrete(h):
        def mean(p):
            g, target = consistency_fn(p), consistency_fn(wrong)
            weight = 1 / (2 * h)
            return jnp.mean(
                consistency.training_loss(g, target, x0, sigma, sigma - h, noise, distance=distances.l2, weight=weight)
            )

        return jax.grad(mean)(wrong)

    errors = [np.linalg.norm(discrete(h) - limit) for h in (1e-3, 5e-4)]
    assert errors[0] < 0.02 * np.linalg.norm(limit)
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.05)
