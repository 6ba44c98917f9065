"""Likelihoods of pixels under a Gaussian, and divergences of Gaussians."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses.bits import check_bins
from jaxdiff.types import Array, ArrayLike, Batch, as_floating


def tanh_cdf(x: ArrayLike) -> Array:
    """Compute the standard normal distribution function to within 2e-4.

    (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2

    Reference: Page 1977; used by Nichol & Dhariwal 2021, so that bits/dim compare. `jax.scipy.stats.norm.cdf` is exact.
    Example:
      >>> float(tanh_cdf(0.0))
      0.5
    """
    x = as_floating(x)
    return (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def discretized_gaussian(
    x: Batch, mean: Batch, log_scale: ArrayLike, bins: int = 256, cdf: Callable[[ArrayLike], Array] = tanh_cdf
) -> Batch:
    """Compute the log of the mass that N(mean, exp(log_scale)^2) puts on the bin of each pixel, in nats.

    The bins of [-1, 1] are 2 / (bins - 1) wide around their centres; the outermost reach to infinity, so that all
    masses sum to 1.

    Args:
      x: pixels, each the centre of a bin.
      mean: [B, ...]; log_scale: log of the standard deviation, broadcasts against it.
      bins: number of grey values: 256 for bytes, 17 for scikit-learn's digits.
      cdf: standard normal distribution function.
    Returns: [B, ...], not below log(1e-12).
    Raises: ValueError as `bits.check_bins`, where x is not traced; where it is, check the data before.
    Reference: Ho et al. 2020, Eq. 13; floor and distribution function of Nichol & Dhariwal 2021.
    Example:
      >>> x = jnp.linspace(-1, 1, 5)[None]
      >>> round(float(jnp.exp(discretized_gaussian(x, 0 * x, -1.0, bins=5)).sum()), 6)
      1.0
    """
    if not isinstance(x, jax.core.Tracer):
        check_bins(x, bins)
    half = 1 / (bins - 1)
    inverse, x = jnp.exp(-as_floating(log_scale)), as_floating(x)
    above, below = cdf(inverse * (x - mean + half)), cdf(inverse * (x - mean - half))
    edge = 1 - 0.255 * half  # no centre but the outermost lies beyond it; the authors' 0.999 for bytes
    mass = jnp.where(x < -edge, above, jnp.where(x > edge, 1 - below, above - below))
    return jnp.log(jnp.maximum(mass, 1e-12))


def normal_log_prob(x: Batch, mean: Batch, log_variance: ArrayLike) -> Batch:
    """Compute log N(x; mean, exp(log_variance)), number by number, in nats.

    Args:
      x, mean: [B, ...]; log_variance: broadcasts against them.
    Returns: [B, ...].
    Example:
      >>> round(float(normal_log_prob(0.0, 0.0, 0.0)), 4)
      -0.9189
    """
    log_variance = as_floating(log_variance)
    return -0.5 * (np.log(2 * np.pi) + log_variance + (as_floating(x) - mean) ** 2 * jnp.exp(-log_variance))


def normal_kl(mean1: Batch, log_variance1: ArrayLike, mean2: ArrayLike, log_variance2: ArrayLike) -> Batch:
    """Compute KL(N(mean1, exp(log_variance1)) || N(mean2, exp(log_variance2))), number by number, in nats.

    (lv2 - lv1 - 1 + exp(lv1 - lv2) + (mean1 - mean2)^2 exp(-lv2)) / 2

    Args:
      mean1, log_variance1: of the first; mean2, log_variance2: of the second. They broadcast, [B, ...].
    Returns: [B, ...], >= 0.
    Example:
      >>> float(normal_kl(jnp.array(1.0), 0.0, 0.0, 0.0))
      0.5
    """
    log_variance1, log_variance2 = as_floating(log_variance1), as_floating(log_variance2)
    difference = log_variance2 - log_variance1
    return 0.5 * (difference - 1 + jnp.exp(-difference) + (as_floating(mean1) - mean2) ** 2 * jnp.exp(-log_variance2))
