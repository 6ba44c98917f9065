"""The Gaussian posterior against conditioning of the joint normal, in every system's coordinates, and its rounding."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import process
from jaxdiff.process import posterior


@pytest.mark.parametrize(
    "step", [(1.0, 0.09, 1.0, 0.4), (0.8, 0.36, 0.7, 0.51), (0.5, 0.2, 0.0, 1.0)], ids=["sigma", "native", "no signal"]
)
def test_it_conditions_the_joint_normal(step):
    """(x', x) given x0 has mean m x0 and covariance C: E[x' | x] = m' x0 + C'x / Cxx (x - mx x0)."""
    signal, variance, step_signal, step_variance = step
    covariance = step_signal * variance
    total = step_signal * covariance + step_variance
    q = posterior.gaussian(*step)
    gain = covariance / total
    np.testing.assert_allclose(q.of_x, gain, rtol=1e-15)
    np.testing.assert_allclose(q.of_x0, signal - gain * step_signal * signal, rtol=1e-15)
    np.testing.assert_allclose(q.variance, variance - gain * covariance, rtol=1e-14)


def test_a_chains_tables_are_the_levels_posterior_in_native_coordinates(x64):
    betas = process.betas.cosine(50)
    tables, grid = process.betas.tables(betas), process.betas.sigmas(betas)[::-1]
    low, high = grid[:-1], grid[1:]
    q = posterior.between(high, low)
    scale, ratio = np.sqrt(1 + low**2), np.sqrt((1 + high**2) / (1 + low**2))
    np.testing.assert_allclose(tables.posterior_mean_coef1, q.of_x0 / scale, rtol=1e-11)
    np.testing.assert_allclose(tables.posterior_mean_coef2, q.of_x * ratio, rtol=1e-11)
    np.testing.assert_allclose(tables.posterior_variance, q.variance / scale**2, rtol=1e-11)


@pytest.mark.parametrize(("sigma", "sigma_next"), [(1.0, 0.9999), (0.002, 0.0019999), (2e4, 1.0), (80.0, 1e-9)])
def test_float32_keeps_its_digits(sigma, sigma_next):
    """Against exact fractions of the same float32 numbers, to a few roundings: levels near each other and far apart."""
    high, low = (Fraction(float(np.float32(level))) for level in (sigma, sigma_next))
    r = low**2 / high**2
    found = posterior.between(np.float32(sigma), np.float32(sigma_next))
    for part, exact in zip(found, (1 - r, r, low**2 * (1 - r)), strict=True):
        assert part.dtype == jnp.float32
        np.testing.assert_allclose(float(part), float(exact), rtol=1e-6)


def test_vdms_step_keeps_its_digits_in_float32():
    """Means of 1,000 steps from gamma = 5 to -13.3 at a predicted noise of 1, against float64; 1 - r is 0.02."""
    gamma = np.linspace(-13.3, 5, 1_001).astype(np.float32)
    one, zero = jnp.ones((1_000, 1)), jnp.zeros((1_000, 1))
    found = process.vdm.reverse_step(lambda z, gamma: one, zero, gamma[1:], gamma[:-1], zero)[:, 0]
    high, low = gamma[1:].astype(np.float64), gamma[:-1].astype(np.float64)
    alpha_s, alpha, sigma = (1 / np.sqrt(1 + np.exp(a)) for a in (low, high, -high))
    np.testing.assert_allclose(found, alpha_s / alpha * sigma * np.expm1(low - high), rtol=2e-6)


def test_the_last_step_is_x0_itself():
    assert [float(part) for part in posterior.between(0.3, 0.0)] == [1.0, 0.0, 0.0]
