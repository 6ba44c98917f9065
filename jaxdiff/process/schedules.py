"""Processes in time: the noise level sigma(t), its inverse, and the scale s(t) of x_t = s(t) * (x0 + sigma(t) * n).

Derivatives are taken by `jax.jvp` where they are needed, so that a schedule is these three functions.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxdiff.types import Array, ArrayLike, as_floating

OfTime = Callable[[Array], Array]


class Schedule(NamedTuple):
    """sigma(t), increasing with sigma(0) = 0; sigma_inv(sigma) = t; s(t)."""

    sigma: OfTime
    sigma_inv: OfTime
    s: OfTime = jnp.ones_like


def linear() -> Schedule:
    """Return sigma(t) = t, EDM's choice, whose trajectories are the straightest.

    Reference: Karras et al. 2022, Table 1, last column.
    Example:
      >>> float(linear().sigma(2.0))
      2.0
    """
    return Schedule(jnp.asarray, jnp.asarray)


def ve() -> Schedule:
    """Return the VE schedule, sigma(t) = sqrt(t).

    Reference: Karras et al. 2022, Table 1, column VE, after Song et al. 2021.
    Example:
      >>> float(ve().sigma_inv(3.0))
      9.0
    """
    return Schedule(lambda t: jnp.sqrt(as_floating(t)), lambda sigma: jnp.square(as_floating(sigma)))


def vp(beta_d: float = 19.9, beta_min: float = 0.1) -> Schedule:
    """Return the VP schedule, for beta(t) = beta_min + beta_d t.

    sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1)

    Unscaled; `variance_preserving(vp())` adds s(t) = exp(-(beta_d t^2 / 2 + beta_min t) / 2).

    Args:
      beta_d, beta_min: slope and start of beta(t); the defaults are DDPM's in continuous time. beta_min may be slightly
        negative, as `grids.vp_betas` finds it for some ranges of sigma; sigma(t) then exists for larger t only.
    Raises: ValueError when beta_d is not positive.
    Reference: Karras et al. 2022, Table 1, column VP; Song et al. 2021, Appendix B. expm1 and log1p avoid
      cancellation error at small t.
    Example:
      >>> bool(jnp.isclose(vp().sigma_inv(vp().sigma(0.3)), 0.3))
      True
    """
    if not beta_d > 0:
        raise ValueError(f"beta_d must be positive, got {beta_d}")

    def sigma(t: ArrayLike) -> Array:
        t = jnp.asarray(t)
        return jnp.sqrt(jnp.expm1(0.5 * beta_d * t**2 + beta_min * t))

    def sigma_inv(sigma: ArrayLike) -> Array:
        log_variance = jnp.log1p(as_floating(sigma) ** 2)
        root = jnp.sqrt(beta_min**2 + 2 * beta_d * log_variance)
        # Of two forms of the root, the one without cancellation error; t = 0 belongs to sigma = 0 in both.
        t = 2 * log_variance / (beta_min + root) if beta_min > 0 else (root - beta_min) / beta_d
        return jnp.where(log_variance > 0, t, 0)

    return Schedule(sigma, sigma_inv)


def variance_preserving(schedule: Schedule) -> Schedule:
    """Scale a schedule by s(t) = 1 / sqrt(1 + sigma(t)^2), which keeps data of unit variance at unit variance.

    Reference: Karras et al. 2022, Table 1, "Scaling", column VP.
    Example:
      >>> float(variance_preserving(linear()).s(0.0))
      1.0
    """
    return schedule._replace(s=lambda t: 1 / jnp.sqrt(1 + as_floating(schedule.sigma(t)) ** 2))
