"""Types that all of jaxdiff shares, and their checks and casts.

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
    "Image",
    "Key",
    "Noise",
    "Params",
    "PyTree",
    "Score",
    "X0Sampler",
    "as_floating",
    "check_outputs",
    "check_positive",
    "expand",
    "state_type",
]

Key = jax.Array
"""A PRNG key, as jax.random.key makes it."""

Batch = Float[Array, "B ..."]
"""Floats of any shape, the examples first."""

Image = Array
"""Images or their features [B, H, W, C], floating or uint8."""

Denoiser = Callable[[Batch, Float[Array, "*B"]], Batch]
"""D(x, sigma): the posterior mean E[x0 | x0 + sigma n = x]; sigma is [] or [B]."""

X0Sampler = Callable[[Batch, Float[Array, "*B"], Batch], Batch]
"""G(x, sigma, latent): a draw from p(x0 | x0 + sigma n = x), one for each latent [B, d]. Not a denoiser: no score."""

Score = Callable[[Batch, Array], Batch]
"""score(x, t), the gradient of log p_t(x) in the native coordinates of an SDE; t is [] or [B]."""

PyTree = Any
"""Nested containers of arrays."""

Noise = PyTree
"""What a sampler draws for one step; the empty tuple where it is deterministic."""

Params = Any
"""A pytree of arrays, exactly as a network's `init` returns it."""


def expand(a: ArrayLike, x: Array, name: str = "a value per example") -> Array:
    """Reshape one number, or one per example, to the rank of x, so that it broadcasts without rank promotion.

    Args:
      a: [] or [B].
      x: [B, ...].
      name: what an error calls `a`.
    Returns: `a` as [1, ..., 1] or [B, 1, ..., 1]; integers become floats, of the type of `x` where it has them.
    Raises: ValueError when `a` is neither a scalar nor one value per example.
    Example:
      >>> expand(jnp.array([1.0, 2.0]), jnp.zeros((2, 3, 3))).shape
      (2, 1, 1)
    """
    a = jnp.asarray(a)
    a = a.astype(as_floating(x).dtype) if jnp.issubdtype(a.dtype, jnp.integer) else a
    if a.ndim > 1 or (a.ndim == 1 and a.shape[0] not in (1, x.shape[0])):
        raise ValueError(f"{name} must have shape [] or [{x.shape[0]}], got {list(a.shape)}")
    return a.reshape(a.shape + (1,) * (x.ndim - a.ndim))


def check_outputs(
    model: Callable[..., Any], name: str = "denoise", counts: tuple[int, ...] = (1,)
) -> Callable[..., Any]:
    """Wrap a model so that outputs are refused that are no floats of the shape of x, when it is traced and at no cost.

    An output [B, 1] would broadcast against x [B, 2] silently.

    Args:
      model: (x, ...) -> [B, ...].
      name: what an error calls it.
      counts: how many such arrays it may return; 2 is a tuple, of the mean and the values of a learned variance.
    Returns: the same function; it raises ValueError for other outputs.
    Raises: ValueError when the model is no function.
    Example:
      >>> check_outputs(lambda x, sigma: x[:, :1])(jnp.zeros((2, 3)), 1.0)
      Traceback (most recent call last):
      ValueError: denoise must return floats of the shape of x, [2, 3], got float32 [2, 1]
    """
    if not callable(model):
        raise ValueError(f"{name} must be a function, got {type(model).__name__}")

    def wrapped(x: Batch, *inputs: Any) -> Any:
        output = model(x, *inputs)
        parts = output if isinstance(output, tuple) and 1 < len(output) in counts else (output,)
        for part in parts:
            shape, dtype = getattr(part, "shape", None), getattr(part, "dtype", None)
            right = dtype is not None and shape == x.shape and jnp.issubdtype(dtype, jnp.floating)
            if not right or len(parts) not in counts:
                several = "" if 1 in counts else f"a tuple of {counts[0]}, each of "
                got = type(part).__name__ if dtype is None else f"{dtype} {list(shape or ())}"
                raise ValueError(f"{name} must return {several}floats of the shape of x, {list(x.shape)}, got {got}")
        return output

    return wrapped


def as_floating(a: ArrayLike) -> Array:
    """Cast integers to the default floating type; leave floats as they are.

    JAX itself divides int32 in float32 even under x64, and a table cast to an integer type would be rounded.

    Returns: an array of the shape of `a`.
    Example:
      >>> as_floating(2).dtype.name, as_floating(jnp.ones(1, jnp.bfloat16)).dtype.name
      ('float32', 'bfloat16')
    """
    a = jnp.asarray(a)
    return a if jnp.issubdtype(a.dtype, jnp.inexact) else a.astype(jnp.result_type(float))


def state_type(x: Array) -> jnp.dtype:
    """Return the type of a sampler's state: float32 whatever the network computes in, float64 where x is.

    Example:
      >>> state_type(jnp.zeros(2, jnp.bfloat16)).name
      'float32'
    """
    return jax.dtypes.canonicalize_dtype(jnp.promote_types(x.dtype, jnp.float32))


def check_positive(sigma: ArrayLike) -> ArrayLike:
    """Return sigma, unless it is on the host and not positive; a traced or device value is not looked at.

    Raises: ValueError when a number or NumPy array is not positive everywhere.
    Example:
      >>> check_positive(-1.0)
      Traceback (most recent call last):
      ValueError: sigma must be positive, got -1.0
    """
    if not isinstance(sigma, jax.Array) and not np.all(np.asarray(sigma) > 0):
        raise ValueError(f"sigma must be positive, got {sigma}")
    return sigma
