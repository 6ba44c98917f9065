"""The probability-flow ODE solved in time, under any schedule sigma(t) and scale s(t).

`euler()` and `heun()` are the special case sigma(t) = t, s = 1, in which the papers' other choices can be compared.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.process.schedules import Schedule
from jaxdiff.samplers.base import Carry, Level, Sampler, memoryless, noiseless
from jaxdiff.types import Array, Batch, Denoiser, Noise

Slope = Callable[[Batch, Array], Batch]
Solver = Callable[[Slope, Batch, Array, Array], Batch]
"""solver(slope, x, t, t_next) -> x at t_next, for dx/dt = slope(x, t)."""


def euler_step(slope: Slope, x: Batch, t: Array, t_next: Array) -> Batch:
    """Step by Euler's method, first order: x' = x + h * d(x, t),  h = t' - t.

    Args:
      slope: d(x, t); x: [B, ...]; t, t_next: [].
    Returns: [B, ...].
    Example:
      >>> euler_step(lambda x, t: x, jnp.ones((1, 1)), jnp.array(0.0), jnp.array(0.5)).item()
      1.5
    """
    return x + (t_next - t) * slope(x, t)


def second_order_step(alpha: float = 1.0) -> Solver:
    """Make an explicit second-order Runge-Kutta step: 1 is Heun's method, 1/2 the midpoint rule, 2/3 Ralston's.

    d = d(x, t);  d' = d(x + alpha * h * d, t + alpha * h);  x' = x + h * ((1 - 1/(2 alpha)) * d + 1/(2 alpha) * d')

    A step into t = 0, where the slope is singular, is Euler's.

    Args:
      alpha: where the second slope is taken, in (0, 1].
    Returns: a Solver.
    Raises: ValueError when alpha is outside that range.
    Reference: Karras et al. 2022, Appendix D.2 and Alg. 3, which has it for sigma(t) = t.
    Example: exact for dx/dt = t
      >>> second_order_step(0.5)(lambda x, t: t + 0 * x, jnp.ones((1, 1)), jnp.array(0.0), jnp.array(2.0)).item()
      3.0
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], got {alpha}")

    def solver(slope: Slope, x: Batch, t: Array, t_next: Array) -> Batch:
        h, d = t_next - t, slope(x, t)

        def correct(x: Batch) -> Batch:
            d_alpha = slope(x + alpha * h * d, t + alpha * h)
            return x + h * ((1 - 1 / (2 * alpha)) * d + 1 / (2 * alpha) * d_alpha)

        return jax.lax.cond(t_next > 0, correct, lambda x: x + h * d, x)

    return solver


def ode(schedule: Schedule, solver: Solver = second_order_step()) -> Sampler:
    """Solve the probability flow in t, one step of an ODE solver between the times of the grid's levels.

    dx_t/dt = (s'/s + sigma'/sigma) * x_t - sigma' * s / sigma * D(x_t / s, sigma),  x_t = s * x

    The state between steps stays x = x0 + sigma * n, as in every sampler; only inside a step is it scaled by s(t).

    Args:
      schedule: sigma(t), its inverse and s(t), from `jaxdiff.process.schedules`.
      solver: `euler_step` or `second_order_step(alpha)`.
    Returns: a deterministic Sampler of the solver's order, for a grid that `jaxdiff.grids` makes; wrap it in `churn`
      for the stochastic samplers of the paper's ablation.
    Reference: Karras et al. 2022, Eq. 4 and Alg. 1; `ode(linear(), second_order_step(alpha))` is its Alg. 3.
    Example: with VP's scale, N(0, I) does not move: x_t = x / sqrt(1 + sigma^2) stays
      >>> from jaxdiff import grids
      >>> from jaxdiff.process import schedules
      >>> from jaxdiff.samplers import sample
      >>> sampler, grid = ode(schedules.variance_preserving(schedules.vp())), grids.vp(8)
      >>> x = sample(sampler, lambda x, sigma: x / (1 + sigma**2), jnp.full((1, 1), (1 + grid[0] ** 2) ** 0.5), grid)
      >>> bool(jnp.isclose(x.item(), 1, atol=1e-3))
      True
    """

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        def slope(x_t: Batch, t: Array) -> Batch:
            (s, sigma), (ds, dsigma) = jax.jvp(lambda t: (schedule.s(t), schedule.sigma(t)), (t,), (jnp.ones_like(t),))
            x0_hat = denoise(x_t / s, sigma)
            return (ds / s + dsigma / sigma) * x_t - dsigma * s / sigma * x0_hat

        t, t_next = schedule.sigma_inv(level.sigma), schedule.sigma_inv(level.sigma_next)
        x_t = solver(slope, schedule.s(t) * x, t, t_next)
        return x_t / schedule.s(t_next), carry

    return Sampler(memoryless, noiseless, step)
