"""Levels sigma for training, from a uniform or normal number an example."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.process import schedules
from jaxdiff.types import Array, ArrayLike, as_floating


def lognormal_sigma(normal: ArrayLike, p_mean: float = -1.2, p_std: float = 1.2) -> Array:
    """Map a standard normal number to EDM's training level: sigma = exp(P_mean + P_std n).

    Args:
      normal: n ~ N(0, 1), usually [B].
      p_mean, p_std: of log(sigma), sigma in data units; the defaults are the paper's for every data set.
    Returns: levels in the shape of `normal`, > 0.
    Reference: Karras et al. 2022, Table 1, "Noise distribution"; Fig. 5a for the choice.
    Example:
      >>> float(lognormal_sigma(0.0, p_mean=0.0))
      1.0
    """
    return jnp.exp(p_mean + p_std * as_floating(normal))


def ve_sigma(uniform: ArrayLike, sigma_min: float = 0.02, sigma_max: float = 100.0) -> Array:
    """Map a uniform number to a log-uniform level: sigma = sigma_min (sigma_max / sigma_min)^u.

    Args:
      uniform: u ~ U[0, 1], usually [B].
      sigma_min, sigma_max: the ends, in data units.
    Returns: levels in the shape of `uniform`.
    Reference: Karras et al. 2022, Table 1, "Noise distribution", column VE.
    Example:
      >>> float(ve_sigma(0.5, sigma_min=1.0, sigma_max=4.0))
      2.0
    """
    return sigma_min * (sigma_max / sigma_min) ** jnp.asarray(uniform)


def vp_sigma(uniform: ArrayLike, beta_d: float = 19.9, beta_min: float = 0.1, epsilon_t: float = 1e-5) -> Array:
    """Map a uniform number to a level of the VP schedule: sigma(t) at t = 1 - u (1 - epsilon_t).

    sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1)

    Args:
      uniform: u ~ U[0, 1], usually [B].
      beta_d, beta_min: slope and start of beta(t).
      epsilon_t: the smallest t, in (0, 1).
    Returns: levels in the shape of `uniform`.
    Reference: Karras et al. 2022, Table 1, "Noise distribution", column VP.
    Example:
      >>> bool(vp_sigma(0.0) > vp_sigma(1.0))
      True
    """
    return schedules.vp(beta_d, beta_min).sigma(1 + jnp.asarray(uniform) * (epsilon_t - 1))


def karras_sigma(ramp: ArrayLike, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Array:
    """Map a share of the way down from sigma_max to sigma_min to a level, in equal steps of sigma^(1/rho).

    sigma = (sigma_max^(1/rho) + ramp (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho

    Uniform numbers give the levels of continuous-time consistency models.

    Args:
      ramp: in [0, 1]; 0 is sigma_max.
      sigma_min, sigma_max, rho: of `grids.karras`.
    Returns: levels in the shape of `ramp`.
    Raises: ValueError when the range is empty, rho is not positive, or a ramp on the host is outside [0, 1].
    Reference: Karras et al. 2022, Eq. 5.
    Example:
      >>> karras_sigma(np.array([0.0, 0.5, 1.0]), 1.0, 9.0, rho=1.0).tolist()
      [9.0, 5.0, 1.0]
    """
    if not 0 < sigma_min < sigma_max < np.inf or not 0 < rho < np.inf:
        raise ValueError(f"need 0 < sigma_min < sigma_max < inf and rho > 0, got {sigma_min}, {sigma_max}, rho={rho}")
    if not isinstance(ramp, jax.Array) and not np.all((np.asarray(ramp) >= 0) & (np.asarray(ramp) <= 1)):
        raise ValueError(f"ramp must lie in [0, 1], got {ramp}")
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return (high + jnp.asarray(ramp) * (low - high)) ** rho
