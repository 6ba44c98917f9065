"""Bits per dimension, the unit in which likelihoods of pixels are compared, and the grid of grey values they are of."""

import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike, as_floating


def check_bins(x: ArrayLike, bins: int = 256) -> None:
    """Refuse pixels that are not the centre of one of the bins of [-1, 1]: their mass would not be that of the data.

    Args:
      x: pixels on the host, of any shape.
      bins: number of grey values: 256 for bytes, 17 for scikit-learn's digits.
    Raises: ValueError when bins is below 2, or a pixel lies on no centre.
    Example:
      >>> check_bins(np.array([0.3]), bins=3)
      Traceback (most recent call last):
      ValueError: x must lie on the 3 grey values from -1 to 1, but 0.3 does not
    """
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    index = (np.asarray(x, np.float64) + 1) / 2 * (bins - 1)
    # Bytes over 127.5 in float32 are off by up to 255 * 6e-8.
    wrong = (np.abs(index - np.round(index)) > 1e-4) | (index < -1e-4) | (index > bins - 1 + 1e-4) | ~np.isfinite(index)
    if wrong.any():
        raise ValueError(f"x must lie on the {bins} grey values from -1 to 1, but {np.asarray(x)[wrong][0]} does not")


def bits_per_dim(nats: ArrayLike, dims: int) -> Array:
    """Convert nats per example to bits per dimension: nats / (dims log 2).

    Args:
      nats: -log of a probability of discrete data, of any shape.
      dims: numbers in an example, every channel of every pixel.
    Returns: in the shape of nats.
    Raises: ValueError when dims is below 1.
    Example: a uniform choice of 256 grey values in 12 numbers
      >>> round(float(bits_per_dim(jnp.log(256.0) * 12, 12)), 6)
      8.0
    """
    if dims < 1:
        raise ValueError(f"dims must be 1 or more, got {dims}")
    return jnp.asarray(nats) / (dims * np.log(2))


def dequantize(pixels: Array, uniform: Array, bins: int = 256) -> Array:
    """Place grey values at random in their bins: 2 (pixels + u) / bins - 1, data with a density on [-1, 1].

    Args:
      pixels: integers in [0, bins), of any shape.
      uniform: u ~ U[0, 1), one number a pixel.
      bins: number of grey values.
    Returns: in [-1, 1); the mean log-density there bounds the log-probability of the grey values from below.
    Reference: Theis et al. 2016 (1511.01844), section 3.1.
    Example:
      >>> dequantize(jnp.array([0, 1]), jnp.zeros(2), bins=2).tolist()
      [-1.0, 0.0]
    """
    return 2 * (pixels + uniform) / bins - 1


def density_bits_per_dim(log_prob: Array, dims: int, bins: int = 256, width: float = 2.0) -> Array:
    """Convert the log-density of dequantised data to bits per dimension of grey values.

    -log_prob / (dims log 2) + log2(bins / width)

    Args:
      log_prob: nats per example, [B].
      dims: numbers in an example.
      bins: number of grey values.
      width: of the data's range, 2 for [-1, 1]: the offset is 7 for bytes, and 8 on [0, 1].
    Returns: [B].
    Raises: ValueError when dims is below 1.
    Example: a uniform density on [-1, 1] costs all 8 bits
      >>> float(density_bits_per_dim(3 * jnp.log(0.5), 3))
      8.0
    """
    return bits_per_dim(-as_floating(log_prob), dims) + np.log2(bins / width)
