"""Levels of training: their law and bad input."""

import jax
import numpy as np
import pytest

from jaxdiff import grids, timesteps
from jaxdiff.timesteps import levels

SPAN = (0.002, 80.0, 7.0)


def test_lognormal_sigma_has_the_stated_law():
    log_sigma = np.log(levels.lognormal_sigma(jax.random.normal(jax.random.key(0), (50_000,)), -0.7, 0.4))
    assert abs(log_sigma.mean() + 0.7) < 4 * 0.4 / np.sqrt(50_000)
    assert abs(log_sigma.std() - 0.4) < 4 * 0.4 / np.sqrt(2 * 50_000)


def test_karras_sigma_is_the_grid(x64):
    np.testing.assert_allclose(timesteps.levels.karras_sigma(np.linspace(0, 1, 9), *SPAN), grids.karras(9, *SPAN)[:-1])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: timesteps.levels.karras_sigma(1.5), r"ramp must lie in \[0, 1\], got 1.5"),
        (lambda: timesteps.levels.karras_sigma(0.5, 2.0, 1.0), "need 0 < sigma_min < sigma_max"),
        (lambda: timesteps.levels.karras_sigma(0.5, rho=0.0), "rho > 0"),
    ],
)
def test_bad_input(run, message):
    with pytest.raises(ValueError, match=message):
        run()
