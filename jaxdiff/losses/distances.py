"""How far apart two batches are, one number an example. Any `(x, y) -> [B]` serves where a distance is asked for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, Batch, Float, as_floating

Distance = Callable[[Batch, Batch], Float[Array, " B"]]
"""d(x, y) -> [B], >= 0 and 0 where x = y."""


def l1(x: Batch, y: Batch) -> Float[Array, " B"]:
    """Compute the mean over pixels of |x - y|.

    Args:
      x, y: [B, ...].
    Returns: [B].
    Raises: ValueError when the shapes differ.
    Reference: Song et al. 2023, section 5; a mean as in the authors' code, so that it does not depend on resolution.
    Example:
      >>> l1(jnp.zeros((1, 2)), jnp.array([[1.0, -3.0]])).item()
      2.0
    """
    return jnp.mean(jnp.abs(_difference(x, y)), axis=1)


def l2(x: Batch, y: Batch) -> Float[Array, " B"]:
    """Compute the mean over pixels of (x - y)^2.

    Args:
      x, y: [B, ...].
    Returns: [B].
    Raises: ValueError when the shapes differ.
    Reference: Song et al. 2023, section 5; a mean as in the authors' code.
    Example:
      >>> l2(jnp.zeros((1, 2)), jnp.array([[1.0, -3.0]])).item()
      5.0
    """
    return jnp.mean(jnp.square(_difference(x, y)), axis=1)


def linf(x: Batch, y: Batch) -> Float[Array, " B"]:
    """Compute the maximum over pixels of |x - y|; its gradient goes to the first of the largest.

    Args:
      x, y: [B, ...].
    Returns: [B].
    Raises: ValueError when the shapes differ.
    Reference: the authors' code of Song et al. 2023 ("linf").
    Example:
      >>> linf(jnp.zeros((1, 2)), jnp.array([[1.0, -3.0]])).item()
      3.0
    """
    deviation = jnp.abs(_difference(x, y))
    # The gradient of jnp.max compares values that XLA may compute twice, with other rounding, and then loses them.
    largest = jnp.argmax(jax.lax.stop_gradient(deviation), axis=1, keepdims=True)
    return jnp.take_along_axis(deviation, largest, axis=1)[:, 0]


def pseudo_huber(x: Batch, y: Batch, c: float | None = None) -> Float[Array, " B"]:
    """Compute sqrt(|x - y|^2 + c^2) - c, |.|^2 a sum over pixels: squared where small, the norm where large.

    Args:
      x, y: [B, ...].
      c: where the one becomes the other, >= 0; 0 is the norm itself (its gradient at x = y is taken to be 0);
        0.00054 sqrt(d) for d pixels where not given.
    Returns: [B].
    Raises: ValueError when c is negative, or the shapes differ.
    Reference: Song & Dhariwal 2024 (2310.14189), section 3.3; evaluated as |x - y|^2 / (sqrt(...) + c), which
      avoids cancellation error where |x - y| << c.
    Example:
      >>> pseudo_huber(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]]), c=0.0).item()
      5.0
    """
    difference = _difference(x, y)
    c = 0.00054 * difference.shape[1] ** 0.5 if c is None else c
    if not c >= 0:
        raise ValueError(f"c must be >= 0, got {c}")
    squared = jnp.sum(jnp.square(difference), axis=1)
    if c == 0:
        safe = jnp.where(squared > 0, squared, 1)
        return jnp.where(squared > 0, jnp.sqrt(safe), 0)
    return squared / (jnp.sqrt(squared + c**2) + c)


def resized(distance: Distance, size: int) -> Distance:
    """Resize images to size x size before a distance: bilinear, pixels' centres aligned.

    Args:
      distance: d(x, y).
      size: height and width, >= 1; larger images are not blurred before.
    Returns: a distance of images [B, H, W, C].
    Raises: ValueError when size is not positive; the distance refuses what are not images.
    Reference: Song et al. 2023, in the authors' code ("l2-32").
    Example:
      >>> resized(l2, 4)(jnp.ones((1, 2, 2, 1)), jnp.zeros((1, 2, 2, 1))).item()
      1.0
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")

    def resize(x: Batch) -> Batch:
        if x.ndim != 4:
            raise ValueError(f"images must be [B, H, W, C], got shape {list(x.shape)}")
        return jax.image.resize(x, (x.shape[0], size, size, x.shape[3]), "bilinear", antialias=False)

    return lambda x, y: distance(resize(x), resize(y))


def _difference(x: Batch, y: Batch) -> Float[Array, "B D"]:
    """x - y with what follows the batch axis flattened."""
    if x.shape != y.shape:
        raise ValueError(f"x and y must have the same shape, got {list(x.shape)} and {list(y.shape)}")
    return (as_floating(x) - as_floating(y)).reshape(x.shape[0], -1)
