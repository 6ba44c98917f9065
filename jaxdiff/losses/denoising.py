"""Denoising score matching as EDM writes it: a level, a weight, a squared error in x0.

A loss takes the level and the noise that were drawn; the functions that draw a level take a uniform or normal number.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxdiff import schedules
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, checked, expand, floating, positive


def lognormal_sigma(normal: ArrayLike, p_mean: float = -1.2, p_std: float = 1.2) -> Array:
    """sigma = exp(P_mean + P_std * n): EDM's training levels from a standard normal draw.

    Args:
      normal: n ~ N(0, 1), usually [B].
      p_mean, p_std: of log(sigma) in data units; the defaults are the paper's for every data set.
    Returns: levels in the shape of `normal`, > 0.
    Reference: Karras et al. 2022, Table 1, "Noise distribution"; Fig. 5a for the choice.
    Example:
      >>> float(lognormal_sigma(0.0, p_mean=0.0))
      1.0
    """
    return jnp.exp(p_mean + p_std * floating(normal))


def ve_sigma(uniform: ArrayLike, sigma_min: float = 0.02, sigma_max: float = 100.0) -> Array:
    """sigma = sigma_min * (sigma_max / sigma_min)^u: log-uniform levels, u ~ U[0, 1].

    Reference: Karras et al. 2022, Table 1, "Noise distribution", column VE.
    Example:
      >>> float(ve_sigma(0.5, sigma_min=1.0, sigma_max=4.0))
      2.0
    """
    return sigma_min * (sigma_max / sigma_min) ** jnp.asarray(uniform)


def vp_sigma(uniform: ArrayLike, beta_d: float = 19.9, beta_min: float = 0.1, epsilon_t: float = 1e-5) -> Array:
    """sigma(t) of the VP schedule at t = 1 - u * (1 - epsilon_t), u ~ U[0, 1].

    Reference: Karras et al. 2022, Table 1, "Noise distribution", column VP.
    Example:
      >>> bool(vp_sigma(0.0) > vp_sigma(1.0))
      True
    """
    return schedules.vp(beta_d, beta_min).sigma(1 + jnp.asarray(uniform) * (epsilon_t - 1))


def edm_weight(sigma: ArrayLike, sigma_data: float = 0.5) -> Array:
    """lambda(sigma) = (sigma^2 + sd^2) / (sigma * sd)^2, which gives every level the same initial loss.

    Reference: Karras et al. 2022, Table 1, "Loss weighting".
    Example:
      >>> float(edm_weight(0.5, sigma_data=0.5))
      8.0
    """
    sigma = floating(sigma)
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def inverse_variance(sigma: ArrayLike) -> Array:
    """lambda(sigma) = 1 / sigma^2, the weight of the VP and VE losses: an unweighted squared error in eps.

    Example:
      >>> float(inverse_variance(2.0))
      0.25
    """
    return 1 / floating(sigma) ** 2


def snr_plus_one(sigma: ArrayLike) -> Array:
    """lambda(sigma) = 1 / sigma^2 + 1; `inverse_variance` is the signal to noise ratio itself.

    Reference: Salimans & Ho 2022 (2202.00512), section 4.
    Example:
      >>> float(snr_plus_one(2.0))
      1.25
    """
    return inverse_variance(sigma) + 1


def truncated_snr(sigma: ArrayLike) -> Array:
    """lambda(sigma) = max(1 / sigma^2, 1).

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
    """lambda(sigma) * mean over pixels of (D(x0 + sigma * n, sigma) - x0)^2.

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
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    if sigma.shape != x0.shape[:1]:
        raise ValueError(f"sigma must have shape [{x0.shape[0]}], one level per example, got {list(sigma.shape)}")
    error = jnp.square(checked(denoise)(x0 + expand(positive(sigma), x0) * noise, sigma) - x0)
    return weight(sigma) * jnp.mean(error, axis=tuple(range(1, x0.ndim)))


def edm_loss(
    denoise: Denoiser, x0: Batch, sigma: Float[Array, " B"], noise: Batch, *, sigma_data: float = 0.5
) -> Float[Array, " B"]:
    """`denoising_loss` with EDM's weight; sigma from `lognormal_sigma`.

    Args: as `denoising_loss`; sigma_data is the standard deviation of the data.
    Returns: [B].
    Reference: Karras et al. 2022, Table 1, last column.
    Example:
      >>> x0 = jnp.zeros((1, 3))
      >>> edm_loss(lambda x, sigma: x, x0, jnp.array([0.5]), jnp.ones((1, 3))).tolist()
      [2.0]
    """
    return denoising_loss(denoise, x0, sigma, noise, lambda sigma: edm_weight(sigma, sigma_data))
