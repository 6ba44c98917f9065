"""Heun's method on the probability-flow ODE: the deterministic sampler of EDM."""

import jax

from jaxdiff.samplers.base import Carry, Level, Sampler, affine_step, memoryless, noiseless
from jaxdiff.types import Batch, Denoiser, Noise


def heun() -> Sampler:
    """Make Heun's method: second order, two evaluations a step except into sigma = 0, deterministic.

    d = (x - D(x, sigma)) / sigma;  x_e = x + (sigma' - sigma) * d;  d' = (x_e - D(x_e, sigma')) / sigma'
    x' = x + (sigma' - sigma) * (d + d') / 2, or x_e where sigma' = 0

    Returns: a Sampler with 2n - 1 evaluations for n steps on a grid that ends at 0, else 2n.
    Reference: Karras et al. 2022, Alg. 1 with sigma(t) = t, s(t) = 1. Its Alg. 2 is `churn(heun(), ...)`.
    Example:
      >>> from jaxdiff import grids
      >>> from jaxdiff.samplers import sample
      >>> import jax.numpy as jnp
      >>> sample(heun(), lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), grids.karras(4)).item()
      3.0
    """

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        sigma, sigma_next = level.sigma, level.sigma_next
        x0_hat = denoise(x, sigma)
        x_euler = affine_step(x, x0_hat, sigma_next / sigma)

        def correct(x_euler: Batch) -> Batch:
            slope = (x - x0_hat) / sigma
            slope_next = (x_euler - denoise(x_euler, sigma_next)) / sigma_next
            return x + (sigma_next - sigma) * (slope + slope_next) / 2

        return jax.lax.cond(sigma_next > 0, correct, lambda x_euler: x_euler, x_euler), carry

    return Sampler(memoryless, noiseless, step)
