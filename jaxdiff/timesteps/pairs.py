"""Neighbouring levels for consistency losses and distillation, from a uniform or normal number an example.

A grid of N levels is sigma_i = (sigma_max^(1/rho) + i/(N-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, i = 0 .. N-1:
index 0 is the largest, as in `grids.karras`. N may be traced, since no array has its size.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri

from jaxdiff.timesteps.levels import karras_sigma
from jaxdiff.types import Array, ArrayLike, Float, as_floating, check_positive

LevelPair = tuple[Float[Array, " B"], Float[Array, " B"]]
"""(sigma, sigma_next), sigma > sigma_next."""


def adjacent_levels(
    index: Array, num_scales: ArrayLike, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> LevelPair:
    """Return the pairs (sigma_i, sigma_{i+1}) on the grid of N levels.

    Args:
      index: i in 0 .. N - 2, [B].
      num_scales: N >= 2, may be traced.
      sigma_min, sigma_max, rho: of the grid.
    Returns: (sigma, sigma_next), [B] each.
    Raises: ValueError when N or an index on the host is outside its range.
    Reference: Song et al. 2023, Alg. 2 and 3, where the index rises with the level.
    Example:
      >>> [level.tolist() for level in adjacent_levels(np.array([1]), 3, 1.0, 9.0, rho=1.0)]
      [[5.0], [1.0]]
    """
    _check_scales(num_scales)
    on_host = not isinstance(index, jax.Array) and not isinstance(num_scales, jax.Array)
    if on_host and np.any((np.asarray(index) < 0) | (np.asarray(index) > np.asarray(num_scales) - 2)):
        raise ValueError(f"index must lie in [0, N - 2] for num_scales={num_scales}, got {index}")
    last = jnp.asarray(num_scales, jnp.result_type(float)) - 1
    index = jnp.asarray(index)
    sigma, sigma_next = (karras_sigma(i / last, sigma_min, sigma_max, rho) for i in (index, index + 1))
    return sigma, sigma_next


def uniform_levels(
    uniform: Float[Array, " B"],
    num_scales: ArrayLike,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> LevelPair:
    """Draw neighbours at an index that is uniform on 0 .. N - 2: consistency distillation and training.

    Args:
      uniform: u ~ U[0, 1), [B].
      num_scales: N >= 2; may be traced, as `curricula` give it.
      sigma_min, sigma_max, rho: of the grid.
    Returns: (sigma, sigma_next), [B] each.
    Raises: ValueError when N on the host is below 2.
    Reference: Song et al. 2023, Alg. 2 and 3.
    Example:
      >>> [level.tolist() for level in uniform_levels(jnp.array([0.0, 0.9]), 3, 1.0, 9.0, rho=1.0)]
      [[9.0, 5.0], [5.0, 1.0]]
    """
    _check_scales(num_scales)
    intervals = jnp.asarray(num_scales) - 1
    # In low precision u * (N - 1) may round up to N - 1.
    index = jnp.minimum(jnp.floor(uniform * intervals).astype(intervals.dtype), intervals - 1)
    return adjacent_levels(index, num_scales, sigma_min, sigma_max, rho)


def lognormal_levels(
    uniform: Float[Array, " B"],
    num_scales: ArrayLike,
    p_mean: float = -1.1,
    p_std: float = 2.0,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> LevelPair:
    """Draw the neighbours between which a truncated lognormal level falls: improved consistency training.

    P(i) proportional to Phi((log sigma_i - P_mean) / P_std) - Phi((log sigma_{i+1} - P_mean) / P_std)

    Args:
      uniform: u ~ U[0, 1), [B]; the level is drawn by its inverse distribution function.
      num_scales: N >= 2, may be traced.
      p_mean, p_std: of log(sigma); the defaults are the paper's.
      sigma_min, sigma_max, rho: of the grid.
    Returns: (sigma, sigma_next), [B] each.
    Raises: ValueError when N on the host is below 2, or p_std is not positive.
    Reference: Song & Dhariwal 2024, section 3.5.
    Example:
      >>> sigma, sigma_next = lognormal_levels(jnp.array([0.5]), 11)
      >>> bool(sigma_next[0] < 0.36 < sigma[0])
      True
    """
    _check_scales(num_scales)
    if not p_std > 0:
        raise ValueError(f"p_std must be positive, got {p_std}")
    low, high = (
        ndtr((jnp.log(jnp.asarray(level, uniform.dtype)) - p_mean) / p_std) for level in (sigma_min, sigma_max)
    )
    sigma = jnp.exp(p_mean + p_std * ndtri(low + uniform * (high - low)))
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    ramp = jnp.clip((top - sigma ** (1 / rho)) / (top - bottom), 0, 1)
    return uniform_levels(ramp, num_scales, sigma_min, sigma_max, rho)


def ect_sigma_next(
    sigma: Array, stage: ArrayLike, q: float = 2.0, k: float = 8.0, b: float = 1.0
) -> Float[Array, " B"]:
    """Compute r(t) of easy consistency tuning: 0 at first, so that f is a denoiser, then ever closer to t.

    r = max(t - t n(t) / q^(stage + 1), 0),  n(t) = 1 + k sigmoid(-b t)

    Args:
      sigma: t, [B], > 0.
      stage: 0, 1, ...; may be traced, as `curricula.ect_stages` gives it.
      q: > 1, how fast the gap closes; k: how much wider it is at small t, 0 for the same ratio everywhere; b: where.
    Returns: r in [0, t), [B].
    Raises: ValueError when q, k or b is outside its range, or a level on the host is not positive.
    Reference: Geng et al. 2025 (2406.14548), mapping function; the defaults are those of its code.
    Example:
      >>> ect_sigma_next(jnp.array([0.1, 80.0]), stage=0).tolist()
      [0.0, 40.0]
    """
    if not (q > 1 and k >= 0 and b >= 0):
        raise ValueError(f"need q > 1, k >= 0 and b >= 0, got q={q}, k={k}, b={b}")
    sigma = as_floating(check_positive(sigma))
    gap = (1 + k * jax.nn.sigmoid(-b * sigma)) / jnp.asarray(q, sigma.dtype) ** (jnp.asarray(stage) + 1)
    return jnp.maximum(sigma * (1 - gap), 0)


def progressive_levels(
    index: Array, num_steps: ArrayLike, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> tuple[Array, Array, Array]:
    """Return the levels of one step of progressive distillation's student: its ends and the teacher's stop half way.

    sigma, sigma_mid, sigma_next lie i / n, (i + 1/2) / n and (i + 1) / n of the way down, as `karras_sigma`.

    Args:
      index: i in 0 .. n - 1, [B]; floor(u n) of a uniform number.
      num_steps: n >= 1 of the student, may be traced, as `curricula.halving_steps` gives it.
      sigma_min, sigma_max, rho: of the grid.
    Returns: (sigma, sigma_mid, sigma_next), [B] each.
    Raises: ValueError when n on the host is below 1, or the range is empty.
    Reference: Song et al. 2023, Appendix C, for the baseline on EDM's grid.
    Example:
      >>> [level.tolist() for level in progressive_levels(np.array([1]), 2, 1.0, 9.0, rho=1.0)]
      [[5.0], [3.0], [1.0]]
    """
    if not isinstance(num_steps, jax.Array) and not np.all(np.asarray(num_steps) >= 1):
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    count = jnp.asarray(num_steps, jnp.result_type(float))
    sigma, sigma_mid, sigma_next = (
        karras_sigma((jnp.asarray(index) + half) / count, sigma_min, sigma_max, rho) for half in (0.0, 0.5, 1.0)
    )
    return sigma, sigma_mid, sigma_next


def _check_scales(num_scales: ArrayLike) -> None:
    if not isinstance(num_scales, jax.Array) and not np.all(np.asarray(num_scales) >= 2):
        raise ValueError(f"num_scales must be at least 2, got {num_scales}: one level has no neighbour")
