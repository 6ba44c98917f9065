"""Sampling by a consistency function f(x, sigma), the end at sigma_min of the ODE's trajectory through x."""

import math

import jax.numpy as jnp

from jaxdiff.samplers.base import Carry, Level, Sampler, gaussian, memoryless
from jaxdiff.types import Batch, Denoiser, Noise


def consistency(sigma_min: float = 0.002) -> Sampler:
    """Map x to the end of its trajectory, then add the next level's noise: one evaluation a step, stochastic.

    x' = f(x, sigma) + sqrt(sigma'^2 - sigma_min^2) * z,  z ~ N(0, I);  x' = f(x, sigma) where sigma' <= sigma_min

    `sample(consistency(), f, x, time_points([0.8]))` is the two-step sampler, and `time_points()`, whose two levels are
    sigma_max and sigma_min, makes the one-step sampler. Nothing is clipped: the authors do, by `guidance.clip(f)`.

    Args:
      sigma_min: where f's trajectories end, in data units, >= 0. At 0 the next level's noise is added in full: ECT's
        sampler, on `time_points([0.8], sigma_min=0.0)`.
    Returns: a Sampler with n evaluations for n steps. It is given f as the denoiser. On a grid that ends
      above sigma_min the last noise stays in x.
    Raises: ValueError when sigma_min is negative or not finite.
    Reference: Song et al. 2023 (arXiv 2303.01469), Alg. 1; Geng et al. 2024 (arXiv 2406.14548) for sigma_min = 0.
    Example: the exact function of N(0, I), one step from sigma = 80
      >>> from jaxdiff.samplers import sample, time_points
      >>> f = lambda x, sigma: x * jnp.sqrt((1 + 0.002**2) / (1 + sigma**2))
      >>> x = sample(consistency(), f, jnp.full((1, 1), 6401**0.5), time_points([]), noise=jnp.zeros((1, 1, 1)))
      >>> bool(jnp.isclose(x.item(), 1, atol=1e-5))
      True
    """
    if not 0 <= sigma_min < math.inf:
        raise ValueError(f"sigma_min must be at least 0 and finite, got {sigma_min}")

    def step(f: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        # As a product it is exactly 0 at sigma_min.
        variance = (level.sigma_next - sigma_min) * (level.sigma_next + sigma_min)
        return f(x, level.sigma) + jnp.sqrt(jnp.maximum(variance, 0)) * noise, carry

    return Sampler(memoryless, gaussian, step)
