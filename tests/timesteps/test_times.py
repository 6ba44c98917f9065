"""Times of continuous time: their law, their spacing, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from jaxdiff import process
from jaxdiff.timesteps.times import antithetic_times, likelihood_times, uniform_times

SDES = {"vp": process.sde.vp(), "subvp": process.sde.subvp(), "ve": process.sde.ve(0.02, 20.0)}
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


@pytest.mark.parametrize("uniform", [0.0, 0.3, 0.999])
def test_antithetic_times_are_evenly_spaced(uniform):
    t = np.sort(antithetic_times(uniform, 7))
    assert t[0] >= 0
    assert t[-1] < 1
    np.testing.assert_allclose(np.diff([*t, t[0] + 1]), 1 / 7, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.1])
def test_bad_epsilon(epsilon):
    for times in (likelihood_times, lambda sde, u, e: uniform_times(u, e)):
        with pytest.raises(ValueError, match="epsilon must lie between 0 and 1"):
            times(SDES["vp"], jnp.zeros(1), epsilon)
