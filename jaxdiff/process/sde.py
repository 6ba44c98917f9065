"""Score SDEs in native coordinates: VP, VE and sub-VP, and what connects them with x = x0 + sigma * n.

    dx = f(t) x dt + g(t) dw,  t in [0, 1],      x_t | x_0 ~ N(a(t) x_0, std(t)^2 I)

In EDM's notation s(t) = a(t), sigma(t) = std(t) / a(t), f = s'/s and g = s sqrt(2 sigma' sigma) (plus what sigma(0) > 0
adds for VE). Functions of t take NumPy arrays on the host, which give grids in float64, and JAX arrays alike.
Reference: Song et al. 2021 (arXiv 2011.13456), section 3.4 and Appendices B to D.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.grids import Grid, check_num_steps, check_range
from jaxdiff.process.schedules import Schedule
from jaxdiff.types import as_floating

OfTime = Callable[[Any], Any]


class SDE(NamedTuple):
    """A linear SDE; to add one, return it from a function next to `vp`.

    f, g: drift per x, and diffusion. a, std: of x_t | x_0. time(sigma): the t at which std / a = sigma.
    prior_std: x_1 is taken to be N(0, prior_std^2 I).
    step(t, num_steps) -> (f, g) of one step of the chain: x_i = x_{i-1} + f x_{i-1} + g z.
    ancestral_std(t, num_steps): noise of an ancestral step down; None where the chain has none.
    step_size(t, num_steps): factor on Langevin's step size, the chain's alpha_i for VP, else 1.
    """

    f: OfTime
    g: OfTime
    a: OfTime
    std: OfTime
    time: OfTime
    prior_std: float
    step: Callable[[Any, int], tuple[Any, Any]]
    ancestral_std: Callable[[Any, int], Any] | None
    step_size: Callable[[Any, int], Any]


def vp(beta_min: float = 0.1, beta_max: float = 20.0) -> SDE:
    """Return the VP SDE, whose chain is DDPM's with betas from beta_min / N to beta_max / N.

    f = -beta / 2, g = sqrt(beta), std^2 = 1 - exp(-B),  beta = beta_min + t (beta_max - beta_min), B = int_0^t beta

    Args:
      beta_min, beta_max: beta(0) and beta(1), 0 < beta_min < beta_max.
    Raises: ValueError unless 0 < beta_min < beta_max.
    Reference: Song et al. 2021, Eq. 11, 32 and 33.
    Example:
      >>> sde = vp()
      >>> round(float(sde.a(jnp.array(0.5)) ** 2 + sde.std(jnp.array(0.5)) ** 2), 5)
      1.0
    """
    beta, integral, time = _linear_betas(beta_min, beta_max)

    def chain_beta(t: Any, num_steps: int) -> Any:
        if num_steps <= beta_max:
            raise ValueError(f"VP's chain needs more than beta_max={beta_max} steps, got {num_steps}: beta would be 1")
        # From the noisy end: of one step it is the only one.
        return _lookup(np.linspace(beta_max / num_steps, beta_min / num_steps, num_steps)[::-1], t)

    def step(t: Any, num_steps: int) -> tuple[Any, Any]:
        b = chain_beta(t, num_steps)
        return _np(t).sqrt(1 - b) - 1, _np(t).sqrt(b)

    return SDE(
        f=lambda t: -beta(t) / 2,
        g=lambda t: _np(t).sqrt(beta(t)),
        a=lambda t: _np(t).exp(-integral(t) / 2),
        std=lambda t: _np(t).sqrt(-_np(t).expm1(-integral(t))),
        time=lambda sigma: time(_np(sigma).log1p((1.0 * sigma) ** 2)),
        prior_std=1.0,
        step=step,
        ancestral_std=lambda t, num_steps: step(t, num_steps)[1],
        step_size=lambda t, num_steps: 1 - chain_beta(t, num_steps),
    )


def subvp(beta_min: float = 0.1, beta_max: float = 20.0) -> SDE:
    """Return the sub-VP SDE, whose variance stays below VP's.

    f = -beta / 2, g^2 = beta (1 - exp(-2 B)), std = 1 - exp(-B)

    Args: as `vp`.
    Raises: ValueError unless 0 < beta_min < beta_max.
    Reference: Song et al. 2021, Eq. 28 and 29. It has no chain: one step is Euler-Maruyama's.
    Example:
      >>> bool(subvp().std(jnp.array(0.5)) < vp().std(jnp.array(0.5)))
      True
    """
    beta, integral, time = _linear_betas(beta_min, beta_max)

    def g(t: Any) -> Any:
        return _np(t).sqrt(-beta(t) * _np(t).expm1(-2 * integral(t)))

    return SDE(
        f=lambda t: -beta(t) / 2,
        g=g,
        a=lambda t: _np(t).exp(-integral(t) / 2),
        std=lambda t: -_np(t).expm1(-integral(t)),
        time=lambda sigma: time(2 * _np(sigma).arcsinh(0.5 * sigma)),  # sigma = 2 sinh(B / 2)
        prior_std=1.0,
        step=lambda t, num_steps: (-beta(t) / 2 / num_steps, g(t) / num_steps**0.5),
        ancestral_std=None,
        step_size=lambda t, num_steps: _np(t).ones_like(t),
    )


def ve(sigma_min: float = 0.01, sigma_max: float = 50.0) -> SDE:
    """Return the VE SDE, whose chain is SMLD's with N levels in equal ratios.

    f = 0, std = sigma_min (sigma_max / sigma_min)^t, g = std sqrt(2 log(sigma_max / sigma_min))

    Args:
      sigma_min, sigma_max: std(0) and std(1), 0 < sigma_min < sigma_max.
    Raises: ValueError unless 0 < sigma_min < sigma_max < inf.
    Reference: Song et al. 2021, Eq. 9, 30 and 31.
    Example:
      >>> round(float(ve(0.01, 100.0).std(jnp.array(0.5))), 4)
      1.0
    """
    check_range(sigma_min, sigma_max)
    log_ratio = float(np.log(sigma_max / sigma_min))

    def std(t: Any) -> Any:
        return sigma_min * _np(t).exp(t * log_ratio)

    def chain_sigmas(t: Any, num_steps: int) -> tuple[Any, Any]:
        levels = np.geomspace(sigma_max, sigma_min, num_steps)[::-1]  # of one step the noisy end
        return _lookup(levels, t), _lookup(np.append(0.0, levels[:-1]), t)

    def step(t: Any, num_steps: int) -> tuple[Any, Any]:
        high, low = chain_sigmas(t, num_steps)
        return 0 * high, _np(t).sqrt((high - low) * (high + low))

    def ancestral_std(t: Any, num_steps: int) -> Any:
        high, low = chain_sigmas(t, num_steps)
        return low / high * step(t, num_steps)[1]

    return SDE(
        f=lambda t: 0 * t,
        g=lambda t: std(t) * (2 * log_ratio) ** 0.5,
        a=lambda t: _np(t).ones_like(t),
        std=std,
        time=lambda sigma: _np(sigma).log(1.0 * sigma / sigma_min) / log_ratio,
        prior_std=sigma_max,
        step=step,
        ancestral_std=ancestral_std,
        step_size=lambda t, num_steps: _np(t).ones_like(t),
    )


def chain_marginals(sde: SDE, num_steps: int, nearest: bool = False) -> SDE:
    """Replace a and std of an SDE by those of its chain of N steps, for networks that were trained on that chain.

    a_i = (1 + f_i) a_{i-1},  std_i^2 = (1 + f_i)^2 std_{i-1}^2 + g_i^2

    Args:
      sde: with a chain; num_steps: N.
      nearest: step i at time t is round(t (N - 1)), as SMLD looks it up, else its integer part, as DDPM does.
    Raises: ValueError for an SDE without a chain (sub-VP).
    Example:
      >>> chained = chain_marginals(ve(1.0, 4.0), 3)
      >>> round(float(chained.std(jnp.array(0.6))), 4)
      2.0
    """
    if sde.ancestral_std is None:
        raise ValueError("this SDE has no chain of steps: it is continuous only")
    steps = [sde.step(np.asarray(i / max(num_steps - 1, 1)), num_steps) for i in range(num_steps)]
    a, variance = [1.0], [0.0]
    for f, g in steps:
        a.append(float(a[-1] * (1 + f)))
        variance.append(float((1 + f) ** 2 * variance[-1] + g**2))
    half = 0.5 / max(num_steps - 1, 1) if nearest else 0.0
    tables = np.asarray(a[1:]), np.sqrt(variance[1:])
    return sde._replace(a=lambda t: _lookup(tables[0], t + half), std=lambda t: _lookup(tables[1], t + half))


def schedule(sde: SDE) -> Schedule:
    """Return the same process as sigma(t), its inverse and s(t), for `samplers.ode`.

    sigma(t) = std(t) / a(t),  s(t) = a(t)

    Reference: Karras et al. 2022, Appendix B.1.
    Example:
      >>> round(float(schedule(ve(1.0, 100.0)).sigma(0.5)), 4)
      10.0
    """
    return Schedule(
        lambda t: sde.std(jnp.asarray(t)) / sde.a(jnp.asarray(t)), lambda s: sde.time(jnp.asarray(s)), sde.a
    )


def grid(sde: SDE, num_steps: int, epsilon: float = 1e-3) -> Grid:
    """Return the levels of `num_steps` equal steps in t from 1 to epsilon, then 0: [num_steps + 1] float64.

    Args:
      sde: whose time is divided; num_steps: >= 1.
      epsilon: last time above 0, in (0, 1); the paper's is 1e-3 for VP and sub-VP, 1e-5 for VE.
    Raises: ValueError when num_steps is below 1 or epsilon outside (0, 1).
    Example:
      >>> [round(sigma, 3) for sigma in grid(ve(1.0, 100.0), 3, epsilon=1e-9).tolist()]
      [100.0, 10.0, 1.0, 0.0]
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie between 0 and 1, got {epsilon}")
    t = np.linspace(1, epsilon, check_num_steps(num_steps))
    return np.append(sde.std(t) / sde.a(t), 0.0)


def _linear_betas(beta_min: float, beta_max: float) -> tuple[OfTime, OfTime, OfTime]:
    """beta(t), its integral B(t), and t(B) by the root without cancellation error."""
    if not 0 < beta_min < beta_max:
        raise ValueError(f"need 0 < beta_min < beta_max, got {beta_min}, {beta_max}")
    beta_min, slope = float(beta_min), float(beta_max - beta_min)  # an integer times a traced one would be one
    return (
        lambda t: beta_min + t * slope,
        lambda t: t * beta_min + t**2 * slope / 2,
        lambda b: 2 * b / (beta_min + _np(b).sqrt(beta_min**2 + 2 * slope * b)),
    )


def _np(t: Any) -> ModuleType:
    return jnp if isinstance(t, jax.Array) else np


def _lookup(table: np.ndarray, t: Any) -> Any:
    """Entry floor(t (N - 1)) of a table; times that float32 has put just below an index belong to it."""
    xp = _np(t)
    t = t if xp is np else as_floating(t)
    index = xp.clip(xp.floor(t * (len(table) - 1) + 1e-4), 0, len(table) - 1).astype(int)
    return table[index] if xp is np else jnp.asarray(table, t.dtype)[index]
