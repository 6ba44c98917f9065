"""DDIM: the chain's marginals with any share of its noise, and the way back from data to noise."""

import jax
import jax.numpy as jnp

from jaxdiff import grids
from jaxdiff.process import posterior
from jaxdiff.samplers.base import Carry, Level, Sampler, affine_step, gaussian, memoryless
from jaxdiff.samplers.checks import cast_outputs
from jaxdiff.types import Array, Batch, Denoiser, Noise, state_type


def ddim(eta: float = 0.0) -> Sampler:
    """Make DDIM, one evaluation a step; eta = 0 is `euler()`, eta = 1 draws from the posterior as `ancestral()`.

    b^2 = eta^2 s'^2 (1 - s'^2 / s^2);  x' = x0_hat + sqrt(s'^2 - b^2) / s * (x - x0_hat) + b * z

    Args:
      eta: share of the noise, in [0, 1].
    Returns: a Sampler with n evaluations for n steps. It asks for noise at every eta; `euler()` needs none.
    Raises: ValueError when eta is outside [0, 1].
    Reference: Song, Meng & Ermon 2021 (DDIM), Eq. 12 and 16.
    Example:
      >>> from jaxdiff.process import betas
      >>> from jaxdiff.samplers import sample
      >>> grid = betas.sigmas(betas.cosine(10))
      >>> sample(ddim(0.5), lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), grid, key=jax.random.key(0)).item()
      3.0
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta}")

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        sigma, sigma_next = level.sigma, level.sigma_next
        q = posterior.between(sigma, sigma_next)
        a = sigma_next / sigma * jnp.sqrt(1 - eta**2 * q.of_x0)  # of_x0 = 1 - s'^2 / s^2
        b = eta * sigma_next * jnp.sqrt(q.of_x0)  # not the root of the variance, whose slope at s' = 0 is infinite
        return affine_step(x, denoise(x, sigma), a, b, noise), carry

    return Sampler(memoryless, gaussian, step)


def encode(denoise: Denoiser, x: Batch, sigmas: grids.Grid) -> Batch:
    """Encode by DDIM inversion: up the grid from its lowest level above 0, each step by the x0 of the level it leaves.

    x' = x0_hat + s' / s * (x - x0_hat),  s' > s

    `sample(euler(), denoise, encode(denoise, x, sigmas), sigmas)` comes back to x up to the steps' truncation error.

    Args:
      denoise: D(x, sigma).
      x: [B, ...] at the lowest level above 0; data themselves will do.
      sigmas: a grid as for `sample`; a last level of 0, where there is no noise direction, is left out.
    Returns: [B, ...] at level sigmas[0].
    Raises: ValueError when the grid does not decrease, or has fewer than two levels above 0.
    Reference: Song, Meng & Ermon 2021 (DDIM), section 4.3.
    Example:
      >>> encode(lambda x, sigma: 0 * x, jnp.ones((1, 1)), grids.karras(4, 1.0, 8.0)).item()
      8.0
    """
    x = x.astype(state_type(x))
    checked = grids.check(sigmas, x.dtype)
    rising = checked[checked > 0][::-1]
    if rising.size < 2:
        raise ValueError(f"encode needs at least two levels above 0, got {checked.tolist()}")
    levels, model = jnp.asarray(rising, x.dtype), cast_outputs(denoise)

    def body(x: Batch, level: tuple[Array, Array]) -> tuple[Batch, None]:
        sigma, sigma_next = level
        return affine_step(x, model(x, sigma), sigma_next / sigma), None

    return jax.lax.scan(body, x, (levels[:-1], levels[1:]))[0]
