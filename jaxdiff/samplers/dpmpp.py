"""DPM-Solver++(2M): Euler in log sigma with an x0 extrapolated from the last two evaluations."""

import jax.numpy as jnp

from jaxdiff.samplers.base import Carry, Level, Sampler, affine_step, noiseless
from jaxdiff.types import Batch, Denoiser, Noise


def dpmpp_2m() -> Sampler:
    """Make DPM-Solver++(2M): second order, one evaluation a step, deterministic, multistep.

    With lambda = -log(sigma), h = lambda' - lambda and r = h_last / h:
    D_bar = (1 + 1/(2r)) * D(x, sigma) - 1/(2r) * D_last;   x' = D_bar + sigma' / sigma * (x - D_bar)

    The first step, which has no history, and a last step into sigma = 0, where h is infinite, are Euler's.

    Returns: a Sampler with n evaluations for n steps.
    Reference: Lu et al. 2022 (arXiv 2211.01095), Alg. 2, in the coordinates x = x0 + sigma * n (alpha = 1).
    Example:
      >>> from jaxdiff import grids
      >>> from jaxdiff.samplers import sample
      >>> sample(dpmpp_2m(), lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), grids.karras(4)).item()
      3.0
    """

    def init(x: Batch) -> Carry:
        return jnp.zeros_like(x), jnp.zeros((), x.dtype)  # no level is 0 before a step

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        x0_last, sigma_last = carry
        sigma, sigma_next = level.sigma, level.sigma_next
        x0_hat = denoise(x, sigma)
        second_order = (sigma_last > 0) & (sigma_next > 0)
        # Values of an unused branch must stay finite, or its gradient would not be.
        h = jnp.log(sigma / jnp.where(second_order, sigma_next, sigma / 2))
        h_last = jnp.log(jnp.where(second_order, sigma_last, 2 * sigma) / sigma)
        weight = jnp.where(second_order, h / (2 * h_last), 0.0)
        x0_bar = x0_hat + weight * (x0_hat - x0_last)
        return affine_step(x, x0_bar, sigma_next / sigma), (x0_hat, sigma)

    return Sampler(init, noiseless, step)
