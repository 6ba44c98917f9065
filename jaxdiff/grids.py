"""Grids of noise levels, built in float64 NumPy on the host; to add one, write a function that returns a `Grid`.

A grid for n steps holds n + 1 decreasing values; the last is 0, so that a sampler ends on data. TPUs have no float64,
and a grid is a constant of the compiled program, so that it is never traced.
"""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Grid = NDArray[np.float64]


def karras(num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Grid:
    """Space the EDM grid: equal steps in sigma^(1/rho), then 0.

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
    check_range(sigma_min, sigma_max)
    if not (np.isfinite(rho) and rho > 0):
        raise ValueError(f"rho must be positive and finite, got {rho}")
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return np.append((high + _ramp(num_steps) * (low - high)) ** rho, 0.0)


def vp(num_steps: int, sigma_min: float | None = None, sigma_max: float | None = None, epsilon_s: float = 1e-3) -> Grid:
    """Space levels equally in the time of the VP schedule, from t = 1 to epsilon_s, then 0.

    Args:
      num_steps: n >= 1.
      sigma_min, sigma_max: levels at t = epsilon_s and t = 1; where not given, those of beta_d = 19.9, beta_min = 0.1.
      epsilon_s: last time above 0, in (0, 1).
    Returns: [n + 1] float64.
    Raises: ValueError when an argument is outside its range.
    Reference: Karras et al. 2022, Table 1, "Time steps", column VP, and Appendix B.1.
    Example:
      >>> [round(s, 3) for s in vp(3).tolist()]
      [152.167, 3.422, 0.01, 0.0]
    """
    if not 0 < epsilon_s < 1:
        raise ValueError(f"epsilon_s must lie between 0 and 1, got {epsilon_s}")
    low, high = vp_sigma(np.array([epsilon_s, 1.0]), 19.9, 0.1).tolist()
    sigma_min, sigma_max = low if sigma_min is None else sigma_min, high if sigma_max is None else sigma_max
    check_range(sigma_min, sigma_max)
    t = 1 + _ramp(num_steps) * (epsilon_s - 1)
    return np.append(vp_sigma(t, *vp_betas(sigma_min, sigma_max, epsilon_s)), 0.0)


def ve(num_steps: int, sigma_min: float = 0.02, sigma_max: float = 100.0) -> Grid:
    """Space levels equally in log sigma, then 0.

    sigma_i = sigma_max * (sigma_min / sigma_max)^(i/(n-1))

    Args:
      num_steps: n >= 1.
      sigma_min, sigma_max: lowest level above 0 and highest level, 0 < sigma_min < sigma_max.
    Returns: [n + 1] float64.
    Reference: Karras et al. 2022, Table 1, "Time steps", column VE; the defaults are its CIFAR-10 range.
    Example:
      >>> ve(3, sigma_min=1.0, sigma_max=4.0).tolist()
      [4.0, 2.0, 1.0, 0.0]
    """
    check_range(sigma_min, sigma_max)
    return np.append(sigma_max * (sigma_min / sigma_max) ** _ramp(num_steps), 0.0)


def iddpm(
    num_steps: int,
    sigma_min: float = 0.002,
    sigma_max: float = 81.0,
    num_levels: int = 1000,
    c_1: float = 0.001,
    c_2: float = 0.008,
) -> Grid:
    """Space levels equally in the index of improved DDPM's levels inside [sigma_min, sigma_max], then 0.

    Args:
      num_steps: n >= 1, at most the number of levels in the range.
      sigma_min, sigma_max: range of levels.
      num_levels, c_1, c_2: of `iddpm_levels`.
    Returns: [n + 1] float64.
    Raises: ValueError when the range holds fewer levels than steps.
    Reference: Karras et al. 2022, Table 1, "Time steps", column iDDPM.
    Example:
      >>> bool(set(iddpm(10)[:-1]) <= set(iddpm_levels()))
      True
    """
    check_range(sigma_min, sigma_max)
    levels = iddpm_levels(num_levels, c_1, c_2)
    levels = levels[(levels >= sigma_min) & (levels <= sigma_max)]
    if num_steps > levels.size:
        raise ValueError(f"num_steps={num_steps} exceeds the {levels.size} levels in [{sigma_min}, {sigma_max}]")
    return np.append(levels[np.floor(_ramp(num_steps) * (levels.size - 1) + 0.5).astype(int)], 0.0)


def vp_sigma(t: NDArray[np.float64], beta_d: float, beta_min: float) -> NDArray[np.float64]:
    """Compute sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1), the VP schedule in float64.

    Args:
      t: times in [0, 1].
      beta_d, beta_min: slope and start of beta(t), as for `schedules.vp`.
    Returns: levels in the shape of `t`.
    Reference: Karras et al. 2022, Table 1, column VP.
    Example:
      >>> float(vp_sigma(np.array(0.5), 0.0, 2 * np.log(2)))
      1.0
    """
    return np.sqrt(np.expm1(0.5 * beta_d * t**2 + beta_min * t))


def vp_betas(sigma_min: float, sigma_max: float, epsilon_s: float = 1e-3) -> tuple[float, float]:
    """Solve for (beta_d, beta_min) of the VP schedule with sigma(epsilon_s) = sigma_min and sigma(1) = sigma_max.

    Args:
      sigma_min, sigma_max: 0 < sigma_min < sigma_max.
      epsilon_s: time of the lowest level, in (0, 1).
    Reference: Karras et al. 2022, Appendix B.1: two linear equations in (beta_d, beta_min).
    Example:
      >>> vp_sigma(np.array([1e-3, 1.0]), *vp_betas(0.1, 100.0)).round(6).tolist()
      [0.1, 100.0]
    """
    low, high = np.log1p(sigma_min**2), np.log1p(sigma_max**2)
    beta_d = 2 * (low / epsilon_s - high) / (epsilon_s - 1)
    return float(beta_d), float(high - beta_d / 2)


def iddpm_levels(num_levels: int = 1000, c_1: float = 0.001, c_2: float = 0.008) -> Grid:
    """Return the levels u_0 > u_1 > ... > u_M = 0 that the cosine schedule of improved DDPM visits.

    alpha_bar_j = sin^2(pi / 2 * j / (M (C_2 + 1)))
    u_{j-1} = sqrt((u_j^2 + 1) / max(alpha_bar_{j-1} / alpha_bar_j, C_1) - 1)

    Args:
      num_levels: M >= 1.
      c_1: floor of the ratio, i.e. 1 - max_beta, in (0, 1).
      c_2: offset s of the cosine schedule, > 0.
    Returns: [M + 1] float64, decreasing.
    Raises: ValueError when an argument is outside these ranges.
    Reference: Karras et al. 2022, Table 1, column iDDPM; Nichol & Dhariwal 2021, Eq. 17. In float64, where the authors'
      code recurs in float32 and is off by up to 5e-4 at the low end.
    Example:
      >>> u = iddpm_levels()
      >>> u.shape, float(u[-1])
      ((1001,), 0.0)
    """
    if num_levels < 1 or not 0 < c_1 < 1 or not c_2 > 0:
        raise ValueError(f"need num_levels >= 1, 0 < c_1 < 1, c_2 > 0, got {num_levels}, {c_1}, {c_2}")
    j = np.arange(num_levels + 1)
    alpha_bar = np.sin(0.5 * np.pi * j / (num_levels * (c_2 + 1))) ** 2
    ratio = np.maximum(alpha_bar[:-1] / alpha_bar[1:], c_1)
    # u_j^2 + 1 is a product of inverse ratios; logarithms avoid cancellation error at small levels.
    log_variance = np.cumsum(-np.log(ratio)[::-1])[::-1]
    return np.append(np.sqrt(np.expm1(log_variance)), 0.0)


def check_num_steps(num_steps: int) -> int:
    """Return num_steps, unless it is no integer or below 1.

    Raises: ValueError.
    Example:
      >>> check_num_steps(0)
      Traceback (most recent call last):
      ValueError: num_steps must be at least 1, got 0
    """
    if not float(num_steps).is_integer():
        raise ValueError(f"num_steps must be an integer, got {num_steps}")
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    return int(num_steps)


def check_range(sigma_min: float, sigma_max: float) -> None:
    """Raise ValueError unless 0 < sigma_min < sigma_max < inf.

    Args:
      sigma_min, sigma_max: of a grid, or of a network's training.
    Example:
      >>> check_range(1.0, 0.1)
      Traceback (most recent call last):
      ValueError: need 0 < sigma_min < sigma_max < inf, got sigma_min=1.0, sigma_max=0.1
    """
    if not 0 < sigma_min < sigma_max < np.inf:
        raise ValueError(f"need 0 < sigma_min < sigma_max < inf, got sigma_min={sigma_min}, sigma_max={sigma_max}")


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a shape is that of a grid, [n + 1] with n >= 1.

    Example:
      >>> check_shape((1,))
      Traceback (most recent call last):
      ValueError: sigmas must be a vector of at least 2 levels, got shape [1]
    """
    if len(shape) != 1 or shape[0] < 2:
        raise ValueError(f"sigmas must be a vector of at least 2 levels, got shape {list(shape)}")


def check(sigmas: ArrayLike, dtype: DTypeLike = np.float64) -> Grid:
    """Check a grid in the type of the state: n + 1 >= 2 finite levels, decreasing, only the last may be 0.

    Args:
      sigmas: of any type; dtype: of the state. Levels that it cannot distinguish are equal, and those below its
        smallest normal number are 0, as they are to the processors.
    Returns: [n + 1] float64, each a number of that type.
    Raises: ValueError naming the first level that breaks the rule.
    Example:
      >>> check(np.array([1.0, 1 - 1e-9, 0.0]), np.float32)
      Traceback (most recent call last):
      ValueError: sigmas must decrease, but in float32 sigmas[1] = 1.0 follows sigmas[0] = 1.0
    """
    kind = np.dtype(dtype)
    with np.errstate(over="ignore"):
        sigmas = np.asarray(sigmas, np.float64).astype(kind).astype(np.float64)
    sigmas = np.where(np.abs(sigmas) < np.finfo(kind).tiny, 0.0, sigmas)
    check_shape(sigmas.shape)
    if not np.all(np.isfinite(sigmas)):
        raise ValueError(f"sigmas must be finite in {kind}, got {sigmas.tolist()}")
    if sigmas[-1] < 0:
        raise ValueError(f"sigmas must end at 0 or above, but the last is {sigmas[-1]}")
    rising = np.flatnonzero(np.diff(sigmas) >= 0)
    if rising.size:
        i = int(rising[0])
        raise ValueError(
            f"sigmas must decrease, but in {kind} sigmas[{i + 1}] = {sigmas[i + 1]} follows sigmas[{i}] = {sigmas[i]}"
        )
    return sigmas


def _ramp(num_steps: int) -> NDArray[np.float64]:
    """i / (n - 1) for i = 0 .. n-1; 0 where there is one step."""
    return np.arange(check_num_steps(num_steps)) / max(num_steps - 1, 1)
