"""DPM-2: the midpoint rule on the probability-flow ODE, with its midpoint where a Karras grid would have it."""

import math

from jaxdiff.samplers.base import Carry, Level, Sampler, affine_step, memoryless, noiseless
from jaxdiff.types import Batch, Denoiser, Noise


def dpm_2(rho: float = 3.0) -> Sampler:
    """Make DPM-2: second order, two evaluations a step, deterministic.

    sigma_mid = ((sigma^(1/rho) + sigma'^(1/rho)) / 2)^rho;  x_mid = x + (sigma_mid - sigma) * d(x, sigma)
    x' = x + (sigma' - sigma) * d(x_mid, sigma_mid),  d(x, sigma) = (x - D(x, sigma)) / sigma

    The step into sigma = 0 is like any other: its midpoint is above 0.

    Args:
      rho: the midpoint's curve, > 0; 1 is the midpoint rule in sigma.
    Returns: a Sampler with 2n evaluations for n steps; in `churn` it is the stochastic one.
    Raises: ValueError when rho is not positive and finite.
    Reference: Lu et al. 2022 (arXiv 2206.00927), DPM-Solver-2, in sigma rather than in log sigma, as the baselines of
      Song et al. 2023 have it; rho = 3 is theirs. k-diffusion's midpoint is the geometric mean, its step to 0 Euler's.
    Example:
      >>> from jaxdiff import grids
      >>> from jaxdiff.samplers import sample
      >>> import jax.numpy as jnp
      >>> x = sample(dpm_2(), lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), grids.karras(4))
      >>> bool(jnp.isclose(x[0, 0], 3.0))
      True
    """
    if not 0 < rho < math.inf:
        raise ValueError(f"rho must be positive and finite, got {rho}")

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        sigma, sigma_next = level.sigma, level.sigma_next
        sigma_mid = ((sigma ** (1 / rho) + sigma_next ** (1 / rho)) / 2) ** rho
        x_mid = affine_step(x, denoise(x, sigma), sigma_mid / sigma)
        slope = (x_mid - denoise(x_mid, sigma_mid)) / sigma_mid
        return x + (sigma_next - sigma) * slope, carry

    return Sampler(memoryless, noiseless, step)
