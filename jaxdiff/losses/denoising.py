"""Denoising score matching as EDM writes it: a level, a weight, a squared error in x0.

A loss takes the level and the noise that were drawn; `jaxdiff.timesteps` draws levels.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxdiff.losses.per_example import check_scalars, check_shape, mean_pixels
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, as_floating, check_outputs, check_positive, expand


def edm_weight(sigma: ArrayLike, sigma_data: float = 0.5) -> Array:
    """Return EDM's weight lambda = (sigma^2 + sd^2) / (sigma sd)^2, with which every level has the same initial loss.

    Args:
      sigma: levels of any shape, > 0; sigma_data: sd, of the data.
    Returns: in the shape of sigma.
    Reference: Karras et al. 2022, Table 1, "Loss weighting"; it is 1 / c_out^2 (Eq. 144).
    Example:
      >>> float(edm_weight(0.5, sigma_data=0.5))
      8.0
    """
    sigma = as_floating(sigma)
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def inverse_variance(sigma: ArrayLike) -> Array:
    """Return the weight lambda = 1 / sigma^2, the signal to noise ratio: an unweighted squared error in eps.

    Returns: in the shape of sigma.
    Reference: Karras et al. 2022, Table 1, "Loss weighting", columns VP and VE.
    Example:
      >>> float(inverse_variance(2.0))
      0.25
    """
    return 1 / as_floating(sigma) ** 2


def snr_plus_one(sigma: ArrayLike) -> Array:
    """Return the weight lambda = 1 / sigma^2 + 1, an unweighted squared error in v.

    Returns: in the shape of sigma.
    Reference: Salimans & Ho 2022 (2202.00512), section 4.
    Example:
      >>> float(snr_plus_one(2.0))
      1.25
    """
    return inverse_variance(sigma) + 1


def truncated_snr(sigma: ArrayLike) -> Array:
    """Return the weight lambda = max(1 / sigma^2, 1), the larger of the squared errors in x0 and eps.

    Returns: in the shape of sigma.
    Reference: Salimans & Ho 2022, section 4.
    Example:
      >>> float(truncated_snr(2.0))
      1.0
    """
    return jnp.maximum(inverse_variance(sigma), 1)


def denoising_loss(
    denoise: Denoiser,
    x0: Batch,
    sigma: Float[Array, " B"],
    noise: Batch,
    weight: Callable[[Array], Array] = inverse_variance,
) -> Float[Array, " B"]:
    """Compute lambda(sigma) times the mean over pixels of (D(x0 + sigma n, sigma) - x0)^2.

    Args:
      denoise: D(x, sigma).
      x0: data [B, ...].
      sigma: levels [B], > 0.
      noise: n ~ N(0, I), [B, ...].
      weight: lambda, a function of sigma.
    Returns: [B].
    Raises: ValueError when the shapes of x0 and noise, or of x0 and sigma, do not match, or a
      level on the host is not positive, or the denoiser returns anything but floats of the shape of x0.
    Reference: Karras et al. 2022, Eq. 2 and 8; departure: a mean over pixels where the authors' code keeps the sum,
      so that the value does not depend on the resolution. Adam does not see the factor.
    Example:
      >>> x0 = jnp.zeros((2, 3))
      >>> denoising_loss(lambda x, sigma: x, x0, jnp.array([1.0, 2.0]), jnp.ones((2, 3))).tolist()
      [1.0, 1.0]
    """
    check_shape(noise, x0)
    check_scalars(x0, sigma)
    error = jnp.square(check_outputs(denoise)(x0 + expand(check_positive(sigma), x0) * noise, sigma) - x0)
    return weight(sigma) * mean_pixels(error)


def edm_loss(
    denoise: Denoiser, x0: Batch, sigma: Float[Array, " B"], noise: Batch, *, sigma_data: float = 0.5
) -> Float[Array, " B"]:
    """Compute `denoising_loss` with EDM's weight; sigma is drawn by `timesteps.lognormal_sigma`.

    Args:
      denoise, x0, sigma, noise: of `denoising_loss`.
      sigma_data: standard deviation of the data.
    Returns: [B].
    Raises: ValueError as `denoising_loss`.
    Reference: Karras et al. 2022, Table 1, last column.
    Example:
      >>> x0 = jnp.zeros((1, 3))
      >>> edm_loss(lambda x, sigma: x, x0, jnp.array([0.5]), jnp.ones((1, 3))).tolist()
      [2.0]
    """
    return denoising_loss(denoise, x0, sigma, noise, lambda sigma: edm_weight(sigma, sigma_data))
