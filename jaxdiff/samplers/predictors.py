"""One step down the reverse-time SDE, or down its probability flow: the predictors of Song et al. 2021."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxdiff import sde as sdes
from jaxdiff.samplers.base import Carry, Level, Sampler, gaussian, memoryless
from jaxdiff.sde import SDE
from jaxdiff.types import Array, Batch, Denoiser, Noise, expand

Update = Callable[[SDE, Batch, Array, Batch, int], tuple[Batch, Array]]
"""update(sde, x, t, score, num_steps) -> (mean, std) of the next x, in native coordinates."""


def predictor(sde: SDE, update: Update, marginals: SDE | None = None) -> Sampler:
    """One evaluation a step; the step into sigma = 0 returns the mean, which takes the last noise away.

    The state between steps stays x = x0 + sigma * n; only inside a step is it x_t = a(t) x.

    Args:
      sde: from `jaxdiff.sde`.
      update: `reverse_diffusion`, `euler_maruyama`, `ancestral_update`, or their flows.
      marginals: where the network's levels are a chain's rather than the SDE's: `sde` with that chain's a and std.
    Returns: a Sampler with n evaluations for n steps, for `sde.grid(sde, n)`: the updates know the step by n alone.
    Reference: Song et al. 2021, Algorithms 2 to 4 without their corrector. Add one by `langevin`.
    Example:
      >>> import jax
      >>> from jaxdiff.samplers import sample
      >>> vp = sdes.vp()
      >>> sampler = predictor(vp, reverse_diffusion)
      >>> x = sdes.grid(vp, 32)[0] * jax.random.normal(jax.random.key(0), (4, 2))
      >>> sample(sampler, lambda x, sigma: x / (1 + sigma**2), x, sdes.grid(vp, 32), key=jax.random.key(1)).shape
      (4, 2)
    """

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        t, last = sde.time(level.sigma), level.sigma_next == 0
        x_t = expand(sde.a(t), x) * x
        score = sdes.score(marginals or sde, denoise, x_t, t)
        mean, std = update(sde, x_t, t, score, level.num_steps)
        x_t = mean + expand(jnp.where(last, 0, std), x) * noise
        # sigma -> t is singular at 0 for some SDEs, where a = 1.
        below = jnp.where(last, 1, sde.a(sde.time(jnp.where(last, level.sigma, level.sigma_next))))
        return x_t / expand(below, x), carry

    return Sampler(memoryless, gaussian, step)


def euler_maruyama(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """x - (f x - g^2 score) / N + g / sqrt(N) z.

    Reference: Song et al. 2021, Appendix D; the step is 1 / N, as in the authors' code, also where the grid's is not.
    """
    return x - sdes.reverse_drift(sde, score, x, t) / num_steps, sde.g(t) / num_steps**0.5


def euler_flow(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """Euler's step of the probability flow: x - (f x - g^2 score / 2) / N."""
    return x - sdes.reverse_drift(sde, score, x, t, share=0.5) / num_steps, jnp.zeros_like(t)


def reverse_diffusion(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """x - f_i x + g_i^2 score + g_i z, with the chain's own step (f_i, g_i).

    Reference: Song et al. 2021, Eq. 46.
    """
    f, g = sde.step(t, num_steps)
    return x - expand(f, x) * x + expand(g, x) ** 2 * score, g


def reverse_diffusion_flow(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """The same step of the probability flow: x - f_i x + g_i^2 score / 2."""
    f, g = sde.step(t, num_steps)
    return x - expand(f, x) * x + expand(g, x) ** 2 * score / 2, jnp.zeros_like(g)


def ancestral_update(sde: SDE, x: Batch, t: Array, score: Batch, num_steps: int) -> tuple[Batch, Array]:
    """(x + g_i^2 score) / (1 + f_i) + std_i z: DDPM's and SMLD's ancestral sampling.

    Raises: ValueError for an SDE without a chain (sub-VP).
    Reference: Song et al. 2021, Eq. 4 and Appendix F.
    """
    if sde.ancestral_std is None:
        raise ValueError("this SDE has no chain of steps, and so no ancestral sampling: use reverse_diffusion")
    f, g = sde.step(t, num_steps)
    return (x + expand(g, x) ** 2 * score) / expand(1 + f, x), sde.ancestral_std(t, num_steps)
