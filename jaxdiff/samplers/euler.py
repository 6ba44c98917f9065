"""Euler's method on the probability-flow ODE, which is DDIM with eta = 0."""

from jaxdiff.samplers.base import Carry, Level, Sampler, affine_step, memoryless, noiseless
from jaxdiff.types import Batch, Denoiser, Noise


def euler() -> Sampler:
    """Make Euler's method: first order, one evaluation a step, deterministic.

    dx/dsigma = (x - D(x, sigma)) / sigma, hence x' = x0_hat + sigma' / sigma * (x - x0_hat)

    Returns: a Sampler with n evaluations for n steps.
    Reference: Karras et al. 2022, Alg. 1 without its correction; Song et al. 2021 (DDIM), Eq. 12 with eta = 0.
    Example:
      >>> from jaxdiff import grids
      >>> from jaxdiff.samplers import sample
      >>> import jax.numpy as jnp
      >>> sample(euler(), lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), grids.karras(4)).item()
      3.0
    """

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        return affine_step(x, denoise(x, level.sigma), level.sigma_next / level.sigma), carry

    return Sampler(memoryless, noiseless, step)
