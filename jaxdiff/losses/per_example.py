"""What all losses share: reductions to one number per example, and checks of what they are given."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike, Batch, Float


def sum_pixels(values: Batch) -> Float[Array, " B"]:
    """Sum over every axis but the first.

    Returns: [B].
    Example:
      >>> sum_pixels(jnp.ones((2, 3, 3))).tolist()
      [9.0, 9.0]
    """
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))


def mean_pixels(values: Batch) -> Float[Array, " B"]:
    """Average over every axis but the first.

    Returns: [B].
    Example:
      >>> mean_pixels(jnp.array([[1.0, 3.0]])).tolist()
      [2.0]
    """
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


def check_shape(value: Batch, like: Batch, name: str = "noise", of: str = "x0") -> None:
    """Refuse an array that would broadcast against another.

    Args:
      value, like: to be of one shape; name, of: what they are called where they are refused.
    Raises: ValueError when the shapes differ.
    Example:
      >>> check_shape(jnp.zeros((2, 1)), jnp.zeros((2, 3)))
      Traceback (most recent call last):
      ValueError: noise must have the shape of x0, [2, 3], got [2, 1]
    """
    if value.shape != like.shape:
        raise ValueError(f"{name} must have the shape of {of}, {list(like.shape)}, got {list(value.shape)}")


def check_scalars(x0: Batch, value: ArrayLike, name: str = "sigma", what: str = "level") -> None:
    """Refuse levels or times that are not one number an example.

    Args:
      x0: [B, ...]; value: to be [B]; name, what: how it is named where it is refused.
    Raises: ValueError when `value` has another shape.
    Example:
      >>> check_scalars(jnp.zeros((2, 3)), 1.0)
      Traceback (most recent call last):
      ValueError: sigma must have shape [2], one level per example, got []
    """
    if jnp.shape(value) != x0.shape[:1]:
        raise ValueError(
            f"{name} must have shape [{x0.shape[0]}], one {what} per example, got {list(jnp.shape(value))}"
        )


def check_levels(x0: Batch, sigma: Array, sigma_next: Array) -> None:
    """Refuse pairs of levels that are not one pair an example or do not decrease, sigma > sigma_next >= 0.

    Args:
      x0: [B, ...]; sigma, sigma_next: [B]; values in NumPy arrays are compared, those of JAX are not.
    Raises: ValueError when a shape is another, or levels on the host do not decrease.
    Example:
      >>> check_levels(jnp.zeros((1, 2)), np.array([1.0]), np.array([2.0]))
      Traceback (most recent call last):
      ValueError: levels must decrease, sigma > sigma_next >= 0, got [1.] and [2.]
    """
    check_scalars(x0, sigma)
    check_scalars(x0, sigma_next, "sigma_next")
    on_host = isinstance(sigma, np.ndarray) and isinstance(sigma_next, np.ndarray)
    if on_host and not np.all((sigma > sigma_next) & (sigma_next >= 0)):
        raise ValueError(f"levels must decrease, sigma > sigma_next >= 0, got {sigma} and {sigma_next}")


def check_teacher(teacher: Callable[..., Any] | None, name: str = "denoise_teacher", form: str = "D(x, sigma)") -> None:
    """Refuse to distil without a teacher.

    Args:
      teacher: a function, or None; name, form: how it is named where it is refused.
    Raises: ValueError when it is None.
    Example:
      >>> check_teacher(None)
      Traceback (most recent call last):
      ValueError: distillation needs a teacher: denoise_teacher must be D(x, sigma), got None
    """
    if teacher is None:
        raise ValueError(f"distillation needs a teacher: {name} must be {form}, got None")
