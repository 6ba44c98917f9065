"""Likelihoods of a pixel under a Gaussian, divergences of Gaussians, and the unit in which they are compared."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike, Batch, Float, floating


def tanh_cdf(x: ArrayLike) -> Array:
    """(1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, the normal distribution function to within 2e-4.

    Reference: Page 1977; used by Nichol & Dhariwal 2021, so that bits/dim compare. `jax.scipy.stats.norm.cdf` is exact.
    Example:
      >>> float(tanh_cdf(0.0))
      0.5
    """
    x = floating(x)
    return (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def discretized_gaussian(
    x: Batch, mean: Batch, log_scale: ArrayLike, bins: int = 256, cdf: Callable[[ArrayLike], Array] = tanh_cdf
) -> Batch:
    """log of the mass that N(mean, exp(log_scale)^2) puts on the bin of each pixel, in nats.

    The bins of [-1, 1] are 2 / (bins - 1) wide around their centres; the outermost reach to infinity, so that all
    masses sum to 1.

    Args:
      x: pixels, each the centre of a bin.
      mean: [B, ...]; log_scale: broadcasts against it.
      bins: number of grey levels: 256 for bytes, 17 for scikit-learn's digits.
      cdf: standard normal distribution function.
    Returns: [B, ...], not below log(1e-12).
    Raises: ValueError as `check_bins`, where x is not traced; where it is, check the data before.
    Reference: Ho et al. 2020, Eq. 13; floor and distribution function of Nichol & Dhariwal 2021.
    Example:
      >>> x = jnp.linspace(-1, 1, 5)[None]
      >>> round(float(jnp.exp(discretized_gaussian(x, 0 * x, -1.0, bins=5)).sum()), 6)
      1.0
    """
    if not isinstance(x, jax.core.Tracer):
        check_bins(x, bins)
    half = 1 / (bins - 1)
    inverse, x = jnp.exp(-floating(log_scale)), floating(x)
    above, below = cdf(inverse * (x - mean + half)), cdf(inverse * (x - mean - half))
    edge = 1 - 0.255 * half  # no centre but the outermost lies beyond it; the authors' 0.999 for bytes
    mass = jnp.where(x < -edge, above, jnp.where(x > edge, 1 - below, above - below))
    return jnp.log(jnp.maximum(mass, 1e-12))


def check_bins(x: ArrayLike, bins: int = 256) -> None:
    """Raise ValueError unless every pixel on the host is the centre of one of the bins of [-1, 1].

    A likelihood of data that are not on the stated grid would not be one of the data.

    Example:
      >>> check_bins(np.array([0.3]), bins=3)
      Traceback (most recent call last):
      ValueError: x must lie on the 3 levels from -1 to 1, but 0.3 does not
    """
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    index = (np.asarray(x, np.float64) + 1) / 2 * (bins - 1)
    # Bytes over 127.5 in float32 are off by up to 255 * 6e-8.
    wrong = (np.abs(index - np.round(index)) > 1e-4) | (index < -1e-4) | (index > bins - 1 + 1e-4) | ~np.isfinite(index)
    if wrong.any():
        raise ValueError(f"x must lie on the {bins} levels from -1 to 1, but {np.asarray(x)[wrong][0]} does not")


def normal_log_prob(x: Batch, mean: Batch, log_variance: ArrayLike) -> Batch:
    """log N(x; mean, exp(log_variance)), number by number, in nats.

    Example:
      >>> round(float(normal_log_prob(0.0, 0.0, 0.0)), 4)
      -0.9189
    """
    log_variance = floating(log_variance)
    return -0.5 * (np.log(2 * np.pi) + log_variance + (floating(x) - mean) ** 2 * jnp.exp(-log_variance))


def normal_kl(mean1: Batch, log_variance1: ArrayLike, mean2: ArrayLike, log_variance2: ArrayLike) -> Batch:
    """KL(N(mean1, exp(log_variance1)) || N(mean2, exp(log_variance2))), number by number, in nats.

    Example:
      >>> float(normal_kl(jnp.array(1.0), 0.0, 0.0, 0.0))
      0.5
    """
    log_variance1, log_variance2 = floating(log_variance1), floating(log_variance2)
    difference = log_variance2 - log_variance1
    return 0.5 * (difference - 1 + jnp.exp(-difference) + (floating(mean1) - mean2) ** 2 * jnp.exp(-log_variance2))


def per_example(values: Batch) -> Float[Array, " B"]:
    """Sum over everything but the first axis."""
    return jnp.sum(values, axis=tuple(range(1, values.ndim)))


def bits_per_dim(nats: ArrayLike, dims: int) -> Array:
    """nats / (dims * log 2), for data on a grid; dims counts every channel of every pixel.

    Raises: ValueError when dims is below 1.
    Example:
      >>> round(float(bits_per_dim(jnp.log(256.0) * 12, 12)), 6)
      8.0
    """
    if dims < 1:
        raise ValueError(f"dims must be 1 or more, got {dims}")
    return jnp.asarray(nats) / (dims * np.log(2))


def dequantize(pixels: Array, uniform: Array, levels: int = 256) -> Array:
    """(pixels + u) / levels on [-1, 1], u ~ U[0, 1): a density there bounds the grey levels' mass.

    Reference: Theis et al. 2016 (1511.01844), section 3.1.
    Example:
      >>> dequantize(jnp.array([0, 1]), jnp.zeros(2), levels=2).tolist()
      [-1.0, 0.0]
    """
    return 2 * (pixels + uniform) / levels - 1


def density_bits_per_dim(log_prob: Array, dims: int, levels: int = 256, width: float = 2.0) -> Array:
    """-log_prob / (dims log 2) + log2(levels / width): bits of a grey level from a density of dequantised data.

    Args:
      log_prob: nats per example; dims: numbers in an example.
      levels: grey levels; width: of the data's range, 2 for [-1, 1]: the offset is 7 for bytes, and 8 on [0, 1].
    Example: a uniform density on [-1, 1] costs all 8 bits
      >>> float(density_bits_per_dim(3 * jnp.log(0.5), 3))
      8.0
    """
    return -floating(log_prob) / (dims * np.log(2)) + np.log2(levels / width)
