"""Denoising score matching as EDM writes it: a level, a weight, a squared error in x0."""

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, Key, expand


def lognormal_sigma(key: Key, shape: tuple[int, ...], p_mean: float = -1.2, p_std: float = 1.2) -> Array:
    """log(sigma) ~ N(P_mean, P_std^2).

    Args:
      key: random key.
      shape: shape of the result, usually (B,).
      p_mean, p_std: of log(sigma) in data units; the defaults are the paper's for every data set.
    Returns: `shape`, > 0.
    Reference: Karras et al. 2022, Table 1, "Noise distribution"; Fig. 5a for the choice.
    Example:
      >>> lognormal_sigma(jax.random.key(0), (4,)).shape
      (4,)
    """
    return jnp.exp(p_mean + p_std * jax.random.normal(key, shape))


def edm_weight(sigma: ArrayLike, sigma_data: float = 0.5) -> Array:
    """lambda(sigma) = (sigma^2 + sd^2) / (sigma * sd)^2, which gives every level the same initial loss.

    Reference: Karras et al. 2022, Table 1, "Loss weighting".
    Example:
      >>> float(edm_weight(0.5, sigma_data=0.5))
      8.0
    """
    sigma = jnp.asarray(sigma)
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def edm_loss(
    denoise: Denoiser, x0: Batch, sigma: Float[Array, " B"], noise: Batch, *, sigma_data: float = 0.5
) -> Float[Array, " B"]:
    """lambda(sigma) * mean over pixels of (D(x0 + sigma * n, sigma) - x0)^2.

    Args:
      denoise: D(x, sigma).
      x0: data [B, ...].
      sigma: levels [B], > 0, as `lognormal_sigma` draws them.
      noise: n ~ N(0, I), [B, ...].
      sigma_data: standard deviation of the data.
    Returns: [B].
    Raises: ValueError when the shapes of x0 and noise, or of x0 and sigma, do not match.
    Reference: Karras et al. 2022, Eq. 2 and Table 1; departure: a mean over pixels where the authors' code keeps the
      sum, so that the value does not depend on the resolution. Adam does not see the factor.
    Example:
      >>> x0 = jnp.zeros((2, 3))
      >>> edm_loss(lambda x, sigma: 0 * x, x0, jnp.ones(2), jnp.ones((2, 3))).tolist()
      [0.0, 0.0]
    """
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    if sigma.shape != x0.shape[:1]:
        raise ValueError(f"sigma must have shape [{x0.shape[0]}], one level per example, got {list(sigma.shape)}")
    error = jnp.square(denoise(x0 + expand(sigma, x0) * noise, sigma) - x0)
    return edm_weight(sigma, sigma_data) * jnp.mean(error, axis=tuple(range(1, x0.ndim)))
