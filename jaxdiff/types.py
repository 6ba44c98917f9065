"""The words that every part of jaxdiff shares.

Coordinates are always `x = x0 + sigma * n` with n ~ N(0, I). A leading batch axis B comes first; whatever follows it
(pixels and channels, two coordinates, ...) is written `...` and never interpreted by samplers or losses.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

__all__ = [
    "Array",
    "ArrayLike",
    "Batch",
    "Denoiser",
    "Float",
    "Key",
    "Noise",
    "Params",
    "PyTree",
    "X0Sampler",
    "expand",
    "state_type",
]

Key = jax.Array
"""A PRNG key, as jax.random.key makes it."""

Batch = Float[Array, "B ..."]
"""One value an example."""

Denoiser = Callable[[Batch, Float[Array, "*B"]], Batch]
"""D(x, sigma): the posterior mean E[x0 | x0 + sigma n = x]; sigma is [] or [B]."""

X0Sampler = Callable[[Batch, Float[Array, "*B"], Batch], Batch]
"""G(x, sigma, latent): a draw from p(x0 | x0 + sigma n = x), one for each latent [B, d]. Not a denoiser: no score."""

PyTree = Any
"""Nested containers of arrays."""

Noise = PyTree
"""What a sampler draws for one step; the empty tuple where it is deterministic."""

Params = Any
"""A pytree of arrays, exactly as a network's `init` returns it."""


def expand(a: ArrayLike, x: Array) -> Array:
    """A number per example (or one for all) in the rank of `x`, so that it broadcasts without rank promotion.

    Args:
      a: [] or [B].
      x: [B, ...].
    Returns: `a` as [1, ..., 1] or [B, 1, ..., 1].
    Raises: ValueError when `a` is neither a scalar nor one value per example.
    Example:
      >>> expand(jnp.array([1.0, 2.0]), jnp.zeros((2, 3, 3))).shape
      (2, 1, 1)
    """
    a = jnp.asarray(a)
    if a.ndim > 1 or (a.ndim == 1 and a.shape[0] not in (1, x.shape[0])):
        raise ValueError(f"a value per example must have shape [] or [{x.shape[0]}], got {list(a.shape)}")
    return a.reshape(a.shape + (1,) * (x.ndim - a.ndim))


def state_type(x: Array) -> jnp.dtype:
    """Type of a sampler's state: float32 whatever the network computes in, float64 where x is.

    Example:
      >>> state_type(jnp.zeros(2, jnp.bfloat16)).name
      'float32'
    """
    return jax.dtypes.canonicalize_dtype(jnp.promote_types(x.dtype, jnp.float32))


def positive(sigma: ArrayLike) -> ArrayLike:
    """`sigma` itself, once it is known not to be wrong on the host; a traced or device value is not looked at.

    Raises: ValueError when a number or NumPy array is not positive everywhere.
    Example:
      >>> positive(-1.0)
      Traceback (most recent call last):
      ValueError: sigma must be positive, got -1.0
    """
    if not isinstance(sigma, jax.Array) and not np.all(np.asarray(sigma) > 0):
        raise ValueError(f"sigma must be positive, got {sigma}")
    return sigma
