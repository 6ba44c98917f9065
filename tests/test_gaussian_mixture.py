"""The closed form of the true denoising distribution against numerical integration and against the exact denoiser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture

MIXTURE = gaussian_mixture.mixture([[-1.0], [0.2], [0.9]], [0.5, 0.2, 0.3], [0.01, 0.04, 0.02])
GRID = np.linspace(-40, 40, 160_001)[:, None]
steps = pytest.mark.parametrize(
    ("sigma", "sigma_next"), [(0.3, 0.29), (0.5, 0.1), (2.0, 0.7), (3.0, 0.0), (150.0, 1.0)]
)
points = pytest.mark.parametrize("x", [-0.4, 1.3])


def integrate(values):
    return np.trapezoid(values, GRID[:, 0])


def by_integration(x, sigma, sigma_next):
    """q(x' | x) = p(x'; s') N(x; x', s^2 - s'^2) / integral, on the grid of x'."""
    prior = np.exp(np.asarray(gaussian_mixture.log_density(MIXTURE, jnp.asarray(GRID), sigma_next), np.float64))
    joint = prior * np.exp(-((x - GRID[:, 0]) ** 2) / (2 * (sigma**2 - sigma_next**2)))
    return joint / integrate(joint)


@steps
@points
def test_density_equals_bayes_rule_integrated(x, sigma, sigma_next, x64):
    q = gaussian_mixture.denoising(MIXTURE, [x], sigma, sigma_next)
    density = np.exp(np.asarray(gaussian_mixture.log_density(q, jnp.asarray(GRID))))
    expected = by_integration(x, sigma, sigma_next)
    np.testing.assert_allclose(density, expected, atol=1e-9 * expected.max())
    mean, variance = gaussian_mixture.moments(q)
    np.testing.assert_allclose(mean[0], integrate(expected * GRID[:, 0]), rtol=1e-8)
    np.testing.assert_allclose(variance[0], integrate(expected * (GRID[:, 0] - mean[0]) ** 2), rtol=1e-8)


@points
def test_at_sigma_next_0_the_mean_is_the_denoiser(x, x64):
    q = gaussian_mixture.denoising(MIXTURE, [x], 0.8, 0.0)
    np.testing.assert_allclose(
        gaussian_mixture.moments(q)[0], gaussian_mixture.denoiser(MIXTURE, jnp.array([[x]]), 0.8)[0], rtol=1e-12
    )


def test_small_steps_are_gaussian_and_large_ones_are_not(x64):
    """The Kullback-Leibler divergence from the best Gaussian falls with the step, and is large for a large one."""

    def divergence(sigma_next):
        q = gaussian_mixture.denoising(MIXTURE, [0.1], 1.0, sigma_next)
        mean, variance = gaussian_mixture.moments(q)
        fit = gaussian_mixture.mixture(mean[None], variances=variance)
        log_q, log_fit = (np.asarray(gaussian_mixture.log_density(law, jnp.asarray(GRID))) for law in (q, fit))
        return integrate(np.where(np.exp(log_q) > 0, np.exp(log_q) * (log_q - log_fit), 0))

    found = [divergence(sigma_next) for sigma_next in (0.0, 0.4, 0.8, 0.99)]
    assert np.all(np.diff(found) < 0)
    assert found[0] > 0.3
    assert found[-1] < 1e-3


def test_in_more_dimensions_it_is_what_a_pair_has():
    """Among simulated pairs (x', x) with x near a point, x' has the mean and variance of the closed form."""
    law = gaussian_mixture.mixture([[-1.0, 0.0], [1.0, 0.5]], [0.4, 0.6], [0.02, 0.05])
    keys = jax.random.split(jax.random.key(0), 3)
    num, sigma, sigma_next = 1_000_000, 1.5, 0.5
    x_next = gaussian_mixture.sample(law, keys[0], num) + sigma_next * jax.random.normal(keys[1], (num, 2))
    x = x_next + np.sqrt(sigma**2 - sigma_next**2) * jax.random.normal(keys[2], (num, 2))
    near = np.linalg.norm(np.asarray(x) - [0.3, -0.2], axis=1) < 0.1
    mean, variance = gaussian_mixture.moments(gaussian_mixture.denoising(law, [0.3, -0.2], sigma, sigma_next))
    chosen = np.asarray(x_next)[near]
    np.testing.assert_allclose(chosen.mean(axis=0), mean, atol=5 * np.sqrt(variance.max() / near.sum()))
    np.testing.assert_allclose(chosen.var(axis=0), variance, rtol=0.1)


def test_scaled_is_the_law_of_the_scaled_variable(x64):
    found = gaussian_mixture.log_density(gaussian_mixture.scaled(MIXTURE, 0.5), jnp.asarray(GRID / 2))
    np.testing.assert_allclose(found, np.log(2) + gaussian_mixture.log_density(MIXTURE, jnp.asarray(GRID)), rtol=1e-10)


def test_bad_input():
    with pytest.raises(ValueError, match=r"x must be one point \[1\]"):
        gaussian_mixture.denoising(MIXTURE, [[0.0]], 1.0, 0.5)
    for sigma_next in (1.0, 2.0, -0.1):
        with pytest.raises(ValueError, match="sigma must be above sigma_next, and that not negative"):
            gaussian_mixture.denoising(MIXTURE, [0.0], 1.0, sigma_next)
