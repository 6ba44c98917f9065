"""Grids of noise levels, built in float64 NumPy on the host.

A grid for n steps holds n + 1 decreasing values; the last is 0, so that a sampler ends on data. TPUs have no float64,
and a grid is a constant of the compiled program, so that it is never traced.
"""

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]


def karras(num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Grid:
    """The EDM grid: equal steps in sigma^(1/rho), then 0.

    sigma_i = (sigma_max^(1/rho) + i/(n-1) * (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,  i = 0 .. n-1;  sigma_n = 0

    Args:
      num_steps: n >= 1; a single step goes from sigma_max to 0.
      sigma_min, sigma_max: lowest level above 0 and highest level, in data units, 0 < sigma_min < sigma_max.
      rho: > 0; larger values put more steps at low noise.
    Returns: [n + 1] float64.
    Raises: ValueError when an argument is outside these ranges.
    Reference: Karras et al. 2022, Eq. 5; the defaults are those of its Table 1.
    Example:
      >>> karras(3, sigma_min=1.0, sigma_max=9.0, rho=1.0).tolist()
      [9.0, 5.0, 1.0, 0.0]
    """
    check_range(num_steps, sigma_min, sigma_max)
    if not (np.isfinite(rho) and rho > 0):
        raise ValueError(f"rho must be positive and finite, got {rho}")
    ramp = np.arange(num_steps, dtype=np.float64) / max(num_steps - 1, 1)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    sigmas = (high + ramp * (low - high)) ** rho
    return np.append(sigmas, 0.0)


def check_range(num_steps: int, sigma_min: float, sigma_max: float) -> None:
    """Raise ValueError unless num_steps >= 1 and 0 < sigma_min < sigma_max < inf."""
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0 < sigma_min < sigma_max < np.inf:
        raise ValueError(f"need 0 < sigma_min < sigma_max < inf, got sigma_min={sigma_min}, sigma_max={sigma_max}")


def check(sigmas: Grid) -> None:
    """Raise ValueError unless `sigmas` is a grid: n + 1 >= 2 finite values, decreasing, only the last may be 0.

    Example:
      >>> check(np.array([1.0, 2.0, 0.0]))
      Traceback (most recent call last):
      ValueError: sigmas must decrease, but sigmas[1] = 2.0 follows sigmas[0] = 1.0
    """
    sigmas = np.asarray(sigmas)
    if sigmas.ndim != 1 or sigmas.shape[0] < 2:
        raise ValueError(f"sigmas must be a vector of at least 2 levels, got shape {list(sigmas.shape)}")
    if not np.all(np.isfinite(sigmas)):
        raise ValueError(f"sigmas must be finite, got {sigmas.tolist()}")
    if sigmas[-1] < 0:
        raise ValueError(f"sigmas must end at 0 or above, but the last is {sigmas[-1]}")
    rising = np.flatnonzero(np.diff(sigmas) >= 0)
    if rising.size:
        i = int(rising[0])
        raise ValueError(
            f"sigmas must decrease, but sigmas[{i + 1}] = {sigmas[i + 1]} follows sigmas[{i}] = {sigmas[i]}"
        )
