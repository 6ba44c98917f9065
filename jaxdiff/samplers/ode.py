"""The probability-flow ODE solved in time, under any schedule sigma(t) and scale s(t).

`euler()` and `heun()` are the special case sigma(t) = t, s = 1, in which the papers' other choices can be compared.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.samplers.base import Carry, Level, Sampler, memoryless, noiseless
from jaxdiff.schedules import Schedule
from jaxdiff.types import Array, Batch, Denoiser, Noise

Slope = Callable[[Batch, Array], Batch]
Solver = Callable[[Slope, Batch, Array, Array], Batch]
"""solver(slope, x, t, t_next) -> x at t_next, for dx/dt = slope(x, t)."""


def euler_step(slope: Slope, x: Batch, t: Array, t_next: Array) -> Batch:
    """First order: x' = x + h * d(x, t)."""
    return x + (t_next - t) * slope(x, t)


def second_order_step(alpha: float = 1.0) -> Solver:
    """The explicit second-order Runge-Kutta family: 1 is Heun's method, 1/2 the midpoint rule, 2/3 Ralston's.

    d = d(x, t);  d' = d(x + alpha * h * d, t + alpha * h);  x' = x + h * ((1 - 1/(2 alpha)) * d + 1/(2 alpha) * d')

    A step into t = 0, where the slope is singular, is Euler's.

    Args:
      alpha: where the second slope is taken, in (0, 1].
    Raises: ValueError when alpha is outside that range.
    Reference: Karras et al. 2022, Alg. 3.
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
    """One step of an ODE solver in t, between the times of the grid's levels.

    dx_t/dt = (s'/s + sigma'/sigma) * x_t - sigma' * s / sigma * D(x_t / s, sigma),  x_t = s * x

    The state between steps stays x = x0 + sigma * n, as in every sampler; only inside a step is it scaled by s(t).

    Args:
      schedule: sigma(t), its inverse and s(t), from `jaxdiff.schedules`.
      solver: `euler_step` or `second_order_step(alpha)`.
    Returns: a deterministic Sampler of the solver's order, for a grid that `jaxdiff.grids` makes; wrap it in `churn`
      for the stochastic samplers of the paper's ablation.
    Reference: Karras et al. 2022, Eq. 4 and Alg. 3. `ode(linear())` is its Alg. 1 with sigma(t) = t.
    Example:
      >>> from jaxdiff import grids, schedules
      >>> from jaxdiff.samplers import sample
      >>> sampler = ode(schedules.variance_preserving(schedules.vp()))
      >>> sample(sampler, lambda x, sigma: x / (1 + sigma**2), jnp.ones((1, 2)), grids.vp(8)).shape
      (1, 2)
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
