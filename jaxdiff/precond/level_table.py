"""Networks trained on a table of levels: they are conditioned on the index of the nearest level."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxdiff.grids import Grid
from jaxdiff.precond.base import Preconditioning, variance_preserving
from jaxdiff.predictions import Coefficient, Prediction
from jaxdiff.types import Array, as_floating


def on_levels(prediction: Prediction, levels: Grid, c_noise: Coefficient) -> Preconditioning:
    """Parametrise a network of x_t = x / sqrt(1 + sigma^2) by what it predicts and by the index of the nearest level.

    Args:
      prediction: (c_skip, c_out), from `predictions`.
      levels: increasing, [T].
      c_noise: of the index, 0 .. T-1 as floats.
    Returns: a Preconditioning whose `round_sigma` gives the nearest level.
    Example:
      >>> from jaxdiff import predictions
      >>> import numpy as np
      >>> precond = on_levels(predictions.eps, np.array([0.5, 1.0, 4.0]), lambda index: 10 * index)
      >>> float(precond.c_noise(jnp.array(3.0))), float(precond.round_sigma(jnp.array(3.0)))
      (20.0, 4.0)
    """
    index = nearest(levels)
    network = variance_preserving(prediction, lambda sigma: c_noise(index(sigma).astype(as_floating(sigma).dtype)))
    return network._replace(sigma_min=float(levels[0]), sigma_max=float(levels[-1]), round_sigma=look_up(levels, index))


def nearest(levels: Grid) -> Callable[[Array], Array]:
    """Make the function of sigma that finds the index of the nearest level; of two that are as near, the higher.

    Args:
      levels: increasing, [T].
    Example:
      >>> import numpy as np
      >>> nearest(np.array([0.0, 1.0, 2.0]))(jnp.array([0.4, 0.5, 9.0])).tolist()
      [0, 1, 2]
    """
    midpoints = (levels[1:] + levels[:-1]) / 2  # the index is the number of midpoints up to sigma
    return lambda sigma: jnp.searchsorted(jnp.asarray(midpoints, as_floating(sigma).dtype), sigma, side="right")


def look_up(values: Grid, index: Callable[[Array], Array]) -> Coefficient:
    """Make the coefficient sigma -> values[index(sigma)], in the type of sigma.

    Args:
      values: [T]; index: such as `nearest` makes it.
    Example:
      >>> import numpy as np
      >>> float(look_up(np.array([3.0, 5.0]), nearest(np.array([0.0, 1.0])))(jnp.array(0.9)))
      5.0
    """
    return lambda sigma: jnp.asarray(values, as_floating(sigma).dtype)[index(sigma)]
