"""Predictors of Song et al. 2021: one step down the reverse-time SDE or its probability flow.

To add one, write an `Update`.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxdiff import process
from jaxdiff.process.sde import SDE
from jaxdiff.samplers.base import Carry, Level, Sampler, gaussian, memoryless
from jaxdiff.types import Array, Batch, Denoiser, Noise, expand

Update = Callable[[SDE, Batch, Array, Batch, int], tuple[Batch, Array]]
"""update(sde, x, t, score, num_steps) -> (mean, std) of the next x, in native coordinates."""


def predictor(sde: SDE, update: Update, marginals: SDE | None = None) -> Sampler:
    """Step down an SDE with one evaluation a step; the step into sigma = 0 returns the mean, without noise.

    The state between steps stays x = x0 + sigma * n; only inside a step is it x_t = a(t) x.

    Args:
      sde: from `jaxdiff.process.sde`.
      update: `reverse_diffusion`, `reverse_diffusion_flow`, `euler_maruyama` or `ancestral_update`.
      marginals: for a network trained on a chain of steps: `sde` with that chain's a and std.
    Returns: a Sampler with n evaluations for n steps, for `sde.grid(sde, n)`: the updates know the step by n alone.
    Reference: Song et al. 2021, Alg. 2 (VE) and 3 (VP) without their corrector. Add one by `langevin`.
    Example: the flow's predictor, without noise, leaves N(0, I) under VP where it is
      >>> from jaxdiff.samplers import sample
      >>> vp = process.sde.vp()
      >>> sampler, grid = predictor(vp, reverse_diffusion_flow), process.sde.grid(vp, 500)
      >>> x, denoise = jnp.full((1, 1), (1 + grid[0] ** 2) ** 0.5), lambda x, sigma: x / (1 + sigma**2)
      >>> x = sample(sampler, denoise, x, grid, noise=jnp.zeros((500, 1, 1)))
      >>> bool(jnp.isclose(x.item(), 1, atol=0.05))
      True
    """

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        t, last = sde.time(level.sigma), level.sigma_next == 0
        x_t = expand(sde.a(t), x) * x
        score = process.reverse_sde.score(marginals or sde, denoise, x_t, t)
        mean, std = update(sde, x_t, t, score, level.num_steps)
        x_t = mean + expand(jnp.where(last, 0, std), x) * noise
        # sigma -> t is singular at 0 for some SDEs, where a = 1.
        below = jnp.where(last, 1, sde.a(sde.time(jnp.where(last, level.sigma, level.sigma_next))))
        return x_t / expand(below, x), carry

    return Sampler(memoryless, gaussian, step)


def euler_maruyama(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """Step the reverse-time SDE by Euler and Maruyama, x - (f x - g^2 score) / N + g / sqrt(N) z.

    Args:
      sde: from `jaxdiff.process.sde`.
      x, score: [B, ...] in native coordinates at time t, []; num_steps: N.
    Returns: (mean [B, ...], std []) of the next x.
    Reference: Song et al. 2021, Appendix D; the step is 1 / N, as in the authors' code, also where the grid's is not.
    Example: without a score VE leaves the mean
      >>> mean, _ = euler_maruyama(process.sde.ve(), jnp.ones((1, 1)), jnp.array(0.5), jnp.zeros((1, 1)), 8)
      >>> mean.item()
      1.0
    """
    return x - process.reverse_sde.reverse_drift(sde, score, x, t) / num_steps, sde.g(t) / num_steps**0.5


def reverse_diffusion(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """Reverse one step (f_i, g_i) of the chain, x - f_i x + g_i^2 score + g_i z.

    Args: as `euler_maruyama`.
    Returns: (mean [B, ...], std []) of the next x.
    Reference: Song et al. 2021, Eq. 46.
    Example: the noise that it adds is the chain's
      >>> sde, x = process.sde.vp(), jnp.ones((1, 1))
      >>> bool(reverse_diffusion(sde, x, jnp.array(0.5), x, 100)[1] == sde.step(jnp.array(0.5), 100)[1])
      True
    """
    f, g = sde.step(t, num_steps)
    return x - expand(f, x) * x + expand(g, x) ** 2 * score, g


def reverse_diffusion_flow(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """Step the probability flow as `reverse_diffusion` steps the SDE, x - f_i x + g_i^2 score / 2.

    Args: as `euler_maruyama`.
    Returns: (next x [B, ...], 0).
    Reference: Song et al. 2021, Appendix D.3.
    Example:
      >>> reverse_diffusion_flow(process.sde.ve(), jnp.ones((1, 1)), jnp.array(0.5), jnp.zeros((1, 1)), 8)[0].item()
      1.0
    """
    f, g = sde.step(t, num_steps)
    return x - expand(f, x) * x + expand(g, x) ** 2 * score / 2, jnp.zeros_like(g)


def ancestral_update(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """Step as DDPM's and SMLD's ancestral sampling do, (x + g_i^2 score) / (1 + f_i) + std_i z.

    Args: as `euler_maruyama`.
    Returns: (mean [B, ...], std []) of the next x.
    Raises: ValueError for an SDE without a chain (sub-VP).
    Reference: Song et al. 2021, Eq. 4 (DDPM) and 47 (SMLD).
    Example:
      >>> ancestral_update(process.sde.ve(), jnp.ones((1, 1)), jnp.array(0.5), jnp.zeros((1, 1)), 8)[0].item()
      1.0
    """
    if sde.ancestral_std is None:
        raise ValueError("this SDE has no chain of steps, and so no ancestral sampling: use reverse_diffusion")
    f, g = sde.step(t, num_steps)
    return (x + expand(g, x) ** 2 * score) / expand(1 + f, x), sde.ancestral_std(t, num_steps)
