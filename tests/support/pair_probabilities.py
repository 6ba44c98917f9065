"""The law of a draw of neighbouring levels, read off the draw itself."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.timesteps.pairs import adjacent_levels


def pair_probabilities(draw, num_scales, *grid):
    """[N - 1], largest level first: the share of [0, 1] that `draw` maps to each pair, in float64.

    A draw is an increasing function of its uniform number, so that where it changes pairs is found by bisection.

    Args:
      draw: uniform [K] -> (sigma, sigma_next); num_scales, grid: of `adjacent_levels`.
    """
    high, _ = adjacent_levels(np.arange(num_scales - 1), num_scales, *grid)
    between = jnp.sqrt(high[:-1] * high[1:])  # a draw is one of `high`
    above = jax.jit(lambda uniform: draw(uniform)[0] > between)
    left, right = np.zeros(num_scales - 2), np.ones(num_scales - 2)
    for _ in range(60):
        middle = (left + right) / 2
        found = np.asarray(above(middle))
        left, right = np.where(found, left, middle), np.where(found, middle, right)
    return -np.diff(np.concatenate([[1.0], right, [0.0]]))
