"""DDPM's ancestral sampler: draw every x_{t-1} from the reverse chain."""

import jax.numpy as jnp

from jaxdiff.process.reverse_kernel import ReverseKernel, fixed
from jaxdiff.samplers.base import Carry, Level, Sampler, gaussian, memoryless
from jaxdiff.types import Batch, Denoiser, Noise, expand


def ancestral(kernel: ReverseKernel | None = None) -> Sampler:
    """Draw from the reverse kernel, one evaluation a step, stochastic.

    x' = mean + sqrt(variance) * z,  (mean, variance) of p(x' | x);  x' = mean in the step into sigma = 0

    Args:
      kernel: of the reverse step, from `process.reverse_kernel`: `fixed(small)` (the default), `fixed(large)`,
        `learned()`, `learned_range()`, or `guided(...)` of one of them. For the learned ones, `sample` is given a
        `precond.denoiser_with_variance` as the denoiser.
    Returns: a Sampler with n evaluations for n steps. A grid of a trained chain is `betas.sigmas`, but any will do.
    Reference: Ho et al. 2020, Alg. 2. To clip x0 as they do, give it `guidance.clip(denoise)`; a network that predicts
      the mean of x_{t-1} (`precond.ddpm.mu`) is not to be clipped.
    Example:
      >>> import jax
      >>> from jaxdiff.process import betas
      >>> from jaxdiff.samplers import sample
      >>> grid = betas.sigmas(betas.linear(50))
      >>> sample(ancestral(), lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), grid, key=jax.random.key(0)).item()
      3.0
    """
    kernel = fixed() if kernel is None else kernel

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        mean, log_variance = kernel(denoise, x, level.sigma, level.sigma_next)
        std = jnp.where(expand(level.sigma_next, x) > 0, jnp.exp(log_variance / 2), 0)
        return mean + std * noise, carry

    return Sampler(memoryless, gaussian, step, outputs=(1, 2))
