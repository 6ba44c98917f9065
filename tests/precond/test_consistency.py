"""Parametrisations that are the identity at the lowest level, and TrigFlow as EDM in other coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import precond
from jaxdiff.losses import denoising
from jaxdiff.losses.consistency import scm
from jaxdiff.precond import denoiser
from jaxdiff.types import expand
from tests.support.parametrisation import additive

SIGMA_DATA = 0.7


def wild(params, u, c_noise):
    """A network that is far from 0 everywhere, and depends on both arguments."""
    return 1e3 * jnp.sin(7 * u + expand(c_noise, u)) + 500.0


@pytest.mark.parametrize("parametrisation", [precond.consistency, additive], ids=["consistency", "additive"])
@pytest.mark.parametrize("sigma_min", [1e-4, 0.002, 0.0123, 1 / 3, 7.7])
def test_identity_at_sigma_min(parametrisation, sigma_min):
    """Bit for bit, in float32, for scalars and batches of levels, jitted or not."""
    f = denoiser(wild, None, parametrisation(sigma_min=sigma_min))
    x = 3 * jax.random.normal(jax.random.key(0), (5, 4, 4, 2))
    for level in (sigma_min, jnp.full(5, sigma_min)):
        np.testing.assert_array_equal(f(x, level), x)
        np.testing.assert_array_equal(jax.jit(f)(x, jnp.asarray(level)), x)
    assert np.abs(f(x, 2 * sigma_min) - x).max() > 0.1 * sigma_min


def test_consistency_is_edm_s_parametrisation_at_high_levels(x64):
    """The shift is by sigma_min: nothing of it is left at sigma_max."""
    sigma = jnp.array([80.0])
    ours, edm = precond.consistency(sigma_min=1e-6), precond.edm()
    for name in ("c_skip", "c_out", "c_in", "c_noise"):
        np.testing.assert_allclose(getattr(ours, name)(sigma), getattr(edm, name)(sigma), rtol=1e-7)


def random_points():
    x0, noise = (jax.random.normal(key, (6, 3)) for key in jax.random.split(jax.random.key(1)))
    return x0, noise, jnp.geomspace(0.01, 50.0, 6)


def test_trigflow_times_cos_is_our_coordinate(x64):
    x0, noise, sigma = random_points()
    t = precond.trigflow_time(sigma, SIGMA_DATA)
    np.testing.assert_allclose(precond.trigflow_sigma(t, SIGMA_DATA), sigma, rtol=1e-12)
    x_t, slope = scm.trigflow_path(x0, t, noise, SIGMA_DATA)
    np.testing.assert_allclose(x_t, expand(jnp.cos(t), x0) * (x0 + expand(sigma, x0) * noise), rtol=1e-11)
    moved = jax.jvp(lambda t: scm.trigflow_path(x0, t, noise, SIGMA_DATA)[0], (t,), (jnp.ones_like(t),))[1]
    np.testing.assert_allclose(slope, moved, rtol=1e-12)


def test_trigflow_is_its_formula(x64):
    """cos(t) x_t - sin(t) sigma_data F(x_t / sigma_data, t), and the same from an EDM network."""
    x0, noise, sigma = random_points()
    x, t = x0 + expand(sigma, x0) * noise, precond.trigflow_time(sigma, SIGMA_DATA)
    cos, sin = expand(jnp.cos(t), x), expand(jnp.sin(t), x)
    x_t = cos * x
    network = precond.trigflow_network(wild, None)
    formula = cos * x_t - sin * SIGMA_DATA * network(x_t / SIGMA_DATA, t)
    np.testing.assert_allclose(denoiser(wild, None, precond.trigflow(SIGMA_DATA))(x, sigma), formula, rtol=1e-9)
    edm = precond.trigflow_from_edm(wild, None, SIGMA_DATA)
    formula = cos * x_t - sin * SIGMA_DATA * edm(x_t / SIGMA_DATA, t)
    np.testing.assert_allclose(denoiser(wild, None, precond.edm(SIGMA_DATA))(x, sigma), formula, rtol=1e-9)


def test_trigflow_regression_is_edm_s_loss(x64):
    """mean (F - (dx_t/dt) / sigma_data)^2 = lambda(sigma) mean (D - x0)^2 with EDM's weight, example for example."""
    x0, noise, sigma = random_points()
    t = precond.trigflow_time(sigma, SIGMA_DATA)
    x_t, slope = scm.trigflow_path(x0, t, noise, SIGMA_DATA)
    network = precond.trigflow_from_edm(wild, None, SIGMA_DATA)
    ours = jnp.mean((network(x_t / SIGMA_DATA, t) - slope / SIGMA_DATA) ** 2, axis=1)
    edm = denoiser(wild, None, precond.edm(SIGMA_DATA))
    np.testing.assert_allclose(ours, denoising.edm_loss(edm, x0, sigma, noise, sigma_data=SIGMA_DATA), rtol=1e-9)


@pytest.mark.parametrize("span", [(0.0, 80.0), (2.0, 1.0), (-1.0, 1.0), (0.1, np.inf)])
def test_bad_ranges(span):
    with pytest.raises(ValueError, match="need 0 < sigma_min < sigma_max < inf, got"):
        precond.consistency(0.5, *span)


def test_bad_values():
    for make in (precond.consistency, precond.trigflow):
        with pytest.raises(ValueError, match="sigma_data must be positive, got 0"):
            make(sigma_data=0.0)
    with pytest.raises(ValueError, match="sigma_data must be positive, got -1"):
        precond.trigflow_time(1.0, -1.0)
    with pytest.raises(ValueError, match="sigma must be positive"):
        precond.trigflow_time(np.array([0.1, -0.1]))
    for t in (0.0, np.pi / 2, 2.0):
        with pytest.raises(ValueError, match="t must lie between 0 and pi / 2, got"):
            precond.trigflow_sigma(t)
