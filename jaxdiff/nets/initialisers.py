"""How parameters start: initialisers of kernels and biases, and factors on them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.types import Array

Init = Callable[..., Array]
"""An initialiser as jax.nn.initializers makes them."""


def scaled(init: Init, scale: float) -> Init:
    """Scale an initialisation by a number, which may be 0.

    Args:
      init: as jax.nn.initializers makes them.
      scale: the factor.
    Example:
      >>> scaled(jax.nn.initializers.ones, 0.5)(jax.random.key(0), (2,)).tolist()
      [0.5, 0.5]
    """
    return lambda key, shape, dtype=jnp.float32, **kwargs: scale * init(key, shape, dtype)


def xavier_uniform(scale: float = 1.0) -> Init:
    """Draw from U(-b, b), b = scale * sqrt(6 / (fan_in + fan_out)).

    Reference: Glorot & Bengio 2010, Eq. 16.
    Example:
      >>> kernel = xavier_uniform()(jax.random.key(0), (3, 3, 4, 4))
      >>> float(abs(kernel).max()) < (6 / (9 * 4 + 9 * 4)) ** 0.5
      True
    """
    return scaled(jax.nn.initializers.glorot_uniform(), scale)


def kaiming_uniform(scale: float = 1.0) -> Init:
    """Draw from U(-b, b), b = scale * sqrt(3 / fan_in).

    Reference: He et al. 2015, Eq. 14, as a uniform distribution of that variance times scale^2.
    Example:
      >>> kernel = kaiming_uniform()(jax.random.key(0), (3, 3, 4, 8))
      >>> float(abs(kernel).max()) < (3 / (9 * 4)) ** 0.5
      True
    """
    return scaled(jax.nn.initializers.variance_scaling(1.0, "fan_in", "uniform"), scale)


def bounded_uniform(bound: float) -> Init:
    """Draw from U(-bound, bound); zeros for 0.

    Example:
      >>> bounded_uniform(0.0)(jax.random.key(0), (2,)).tolist()
      [0.0, 0.0]
    """
    return lambda key, shape, dtype=jnp.float32, **kwargs: jax.random.uniform(key, shape, dtype, -bound, bound)
