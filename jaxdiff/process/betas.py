"""The fixed forward chain of DDPM: variances beta_t, their products alpha_bar_t, and the levels sigma_t they visit.

    q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)
    q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I),  alpha_bar_t = prod_{i <= t} (1 - beta_i)

for t = 0 .. T-1. In the library's coordinates x = x_t / sqrt(alpha_bar_t) the level is
sigma_t = sqrt((1 - alpha_bar_t) / alpha_bar_t). Tables are float64 NumPy on the host, as grids are.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxdiff.grids import Grid, check_num_steps
from jaxdiff.process import posterior

Betas = NDArray[np.float64]
"""[T], each in (0, 1); the last may be 1, which leaves no signal (alpha_bar = 0) and has no level sigma."""


def linear(num_steps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Betas:
    """Space T betas equally from beta_start to beta_end, both times 1000 / T: chains of any length end alike.

    Args:
      num_steps: T >= 20; at T = 20 the default beta_end reaches 1, and `sigmas` refuses the chain.
      beta_start, beta_end: for T = 1000.
    Returns: [T] float64.
    Raises: ValueError when a beta is outside (0, 1).
    Reference: Ho et al. 2020, section 4; the factor is Nichol & Dhariwal's.
    Example:
      >>> linear(1000)[[0, -1]].tolist()
      [0.0001, 0.02]
    """
    num_steps = check_num_steps(num_steps)
    scale = 1000 / num_steps
    return check(_rising(scale * beta_start, scale * beta_end, num_steps))


def quadratic(num_steps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Betas:
    """Space T betas equally in sqrt(beta). They are not rescaled by T.

    Args:
      num_steps: T >= 1.
      beta_start, beta_end: of the first and the last step.
    Returns: [T] float64.
    Raises: ValueError when a beta is outside (0, 1).
    Reference: Ho et al. 2020, in its released code.
    Example:
      >>> [round(beta, 4) for beta in quadratic(3, 0.01, 0.09).tolist()]
      [0.01, 0.04, 0.09]
    """
    return check(_rising(beta_start**0.5, beta_end**0.5, check_num_steps(num_steps)) ** 2)


def constant(num_steps: int, beta: float = 0.02) -> Betas:
    """Repeat one beta at every step.

    Args:
      num_steps: T >= 1; beta: in (0, 1).
    Returns: [T] float64.
    Reference: Ho et al. 2020, section 4.
    Example:
      >>> constant(2, 0.5).tolist()
      [0.5, 0.5]
    """
    return check(np.full(check_num_steps(num_steps), float(beta)))


def cosine(num_steps: int, max_beta: float = 0.999, s: float = 0.008) -> Betas:
    """Space betas so that noise comes slowly at both ends.

    alpha_bar(u) = cos^2((u + s) / (1 + s) * pi / 2),  u = t / T

    Args:
      num_steps: T >= 1.
      max_beta: cap that keeps the last step from being singular, in (0, 1).
      s: offset that keeps the first steps from being too small.
    Reference: Nichol & Dhariwal 2021, Eq. 17.
    Example:
      >>> float(cosine(10)[-1])
      0.999
    """
    return from_alpha_bar(lambda u: np.cos((u + s) / (1 + s) * np.pi / 2) ** 2, num_steps, max_beta)


def from_alpha_bar(alpha_bar: Callable[[NDArray], NDArray], num_steps: int, max_beta: float = 0.999) -> Betas:
    """Discretize any decreasing alpha_bar(u), u in [0, 1].

    beta_t = min(1 - alpha_bar((t + 1) / T) / alpha_bar(t / T), max_beta)

    Args:
      alpha_bar: of NumPy arrays; num_steps: T >= 1; max_beta: cap, in (0, 1).
    Returns: [T] float64.
    Raises: ValueError when max_beta or a beta is outside (0, 1), which a function that does not decrease brings about.
    Reference: Nichol & Dhariwal 2021, section 3.2.
    Example:
      >>> round(float(from_alpha_bar(lambda u: np.exp(-u), 2)[0]), 6)
      0.393469
    """
    if not 0 < max_beta < 1:
        raise ValueError(f"max_beta must lie between 0 and 1, got {max_beta}")
    products = np.asarray(alpha_bar(np.arange(check_num_steps(num_steps) + 1) / num_steps), np.float64)
    return check(np.minimum(1 - products[1:] / products[:-1], max_beta))


def vp(num_steps: int, beta_min: float = 0.1, beta_max: float = 20.0, t_min: float = 1e-3) -> Betas:
    """Discretize the VP diffusion at T + 1 equal times: few large steps, where `linear` has many small ones.

    beta_i = 1 - alpha_bar(t_{i+1}) / alpha_bar(t_i),  t_i = t_min + (1 - t_min) i / T,
    alpha_bar(t) = exp(-beta_min t - (beta_max - beta_min) t^2 / 2)

    Args:
      num_steps: T >= 1; DDGAN takes 4.
      beta_min, beta_max: of the diffusion's beta(t), t in [0, 1], 0 < beta_min <= beta_max.
      t_min: of the first time, in [0, 1).
    Raises: ValueError when T < 1 or a beta is outside (0, 1).
    Reference: Xiao et al. 2022, Appendix, after Song et al. 2021, Appendix B. What is noised before t_min is data.
    Example:
      >>> [round(beta, 4) for beta in vp(4).tolist()]
      [0.4783, 0.8492, 0.9564, 0.9874]
    """
    t = t_min + (1 - t_min) * np.arange(check_num_steps(num_steps) + 1) / num_steps
    return check(-np.expm1(-np.diff(beta_min * t + (beta_max - beta_min) * t**2 / 2)))


def geometric(num_steps: int, variance_min: float, variance_max: float, t_min: float = 1e-3) -> Betas:
    """Discretize as `vp` a variance that grows geometrically, 1 - alpha_bar(t) = v_min (v_max / v_min)^t.

    Args:
      num_steps, t_min: as for `vp`.
      variance_min, variance_max: v_min and v_max, 0 < v_min < v_max < 1.
    Returns: [T] float64.
    Raises: ValueError when the variances do not rise within (0, 1).
    Reference: Xiao et al. 2022, in the released code, as an option.
    Example:
      >>> [round(beta, 4) for beta in geometric(2, 0.01, 0.99, t_min=0.0).tolist()]
      [0.0904, 0.9889]
    """
    if not 0 < variance_min < variance_max < 1:
        raise ValueError(f"variance_min, variance_max must rise within (0, 1), got {variance_min}, {variance_max}")
    t = t_min + (1 - t_min) * np.arange(check_num_steps(num_steps) + 1) / num_steps
    alpha_bar = 1 - variance_min * (variance_max / variance_min) ** t
    return check(1 - alpha_bar[1:] / alpha_bar[:-1])


def check(betas: NDArray) -> Betas:
    """Check that betas are variances of a chain and return them as float64.

    Raises: ValueError naming the first that is not in (0, 1); the last may be 1.
    Example:
      >>> check(np.array([0.5, 1.5]))
      Traceback (most recent call last):
      ValueError: betas must lie between 0 and 1, but betas[1] = 1.5
    """
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or not betas.size:
        raise ValueError(f"betas must be a vector of at least one step, got shape {list(betas.shape)}")
    wrong = np.flatnonzero(~((betas > 0) & (betas < 1)))
    if wrong.size and not (wrong[0] == betas.size - 1 and betas[-1] == 1):
        raise ValueError(f"betas must lie between 0 and 1, but betas[{wrong[0]}] = {betas[wrong[0]]}")
    return betas


def sigmas(betas: Betas) -> Grid:
    """Return the levels of a chain as a grid for `samplers.sample`: [T + 1], from sigma_{T-1} down to sigma_0, then 0.

    sigma_t^2 = (1 - alpha_bar_t) / alpha_bar_t

    Raises: ValueError when the last beta is 1: alpha_bar = 0 cannot be inverted.
    Example:
      >>> [round(sigma, 6) for sigma in sigmas(np.array([0.2, 0.5])).tolist()]
      [1.224745, 0.5, 0.0]
    """
    betas = check(betas)
    if betas[-1] == 1:
        raise ValueError(
            f"alpha_bar is 0 after {len(betas)} steps, as the last beta is 1: no level sigma stands for that"
        )
    # Logarithms avoid cancellation error at small levels.
    return np.append(np.sqrt(np.expm1(-np.cumsum(np.log1p(-betas))))[::-1], 0.0)


def from_sigmas(sigmas: Grid) -> Betas:
    """Return the betas of a grid that ends at 0, the inverse of `sigmas`: beta = (s^2 - s'^2) / (1 + s^2).

    Example:
      >>> [round(beta, 6) for beta in from_sigmas(np.array([1.5**0.5, 0.5, 0.0])).tolist()]
      [0.2, 0.5]
    """
    high, low = np.asarray(sigmas, np.float64)[:-1], np.asarray(sigmas, np.float64)[1:]
    return check(((high - low) * (high + low) / (1 + high**2))[::-1])


class Tables(NamedTuple):
    """Everything that a chain's formulas look up, [T] float64 each, t = 0 .. T-1, in the coordinates of x_t.

    posterior_mean_coef1, 2: q(x_{t-1} | x_t, x_0) has mean coef1 x_0 + coef2 x_t;
    posterior_variance: "fixed small", 0 at t = 0; decoder_variance: a number that replaces it there.
    """

    betas: Betas
    alpha_bar: NDArray
    alpha_bar_prev: NDArray
    alpha_bar_next: NDArray
    posterior_mean_coef1: NDArray
    posterior_mean_coef2: NDArray
    posterior_variance: NDArray
    decoder_variance: float


def tables(betas: Betas) -> Tables:
    """Compute the tables of a chain.

    alpha_bar_{-1} = 1, alpha_bar_T = 0; decoder_variance is the posterior variance at t = 1.

    Reference: Ho et al. 2020, Eq. 6 and 7; Nichol & Dhariwal 2021 for the variance at t = 0.
    Example:
      >>> tables(np.array([0.5, 0.5])).posterior_variance.round(6).tolist()
      [0.0, 0.333333]
    """
    betas = check(betas)
    alpha_bar = np.cumprod(1 - betas)
    prev, following = np.append(1.0, alpha_bar[:-1]), np.append(alpha_bar[1:], 0.0)
    q = posterior.gaussian(np.sqrt(prev), 1 - prev, np.sqrt(1 - betas), betas)
    decoder_variance = float(q.variance[1] if betas.size > 1 else betas[0])
    return Tables(betas, alpha_bar, prev, following, q.of_x0, q.of_x, q.variance, decoder_variance)


def _rising(start: float, end: float, num_steps: int) -> NDArray:
    """Equal steps between two ends; the only one of a chain of one step is its noisy end."""
    return np.linspace(start, end, num_steps) if num_steps > 1 else np.array([end])
