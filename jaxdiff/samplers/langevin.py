"""Langevin correction: some steps of MCMC at the level of x before any sampler leaves it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff import sde as sdes
from jaxdiff.samplers.base import Carry, Level, Sampler
from jaxdiff.sde import SDE
from jaxdiff.types import Array, Batch, Denoiser, Key, Noise, expand

StepSize = Callable[[SDE, Array, Batch, Batch], Array]
"""step_size(sde, t, score, noise) -> [] or [B], before the factor 2 alpha snr^2."""


def per_example(sde: SDE, t: Array, score: Batch, noise: Batch) -> Array:
    """d / |score|^2, example by example, so that images do not influence each other; d = E|z|^2 numbers an image.

    The drawn |z|^2 would go with the noise that it scales, and raise the variance by 2 / d. For images: in a few
    dimensions a score near 0 makes the step unbounded, take `annealed` there.
    """
    return score[0].size / _norms(score) ** 2


def batch_mean(sde: SDE, t: Array, score: Batch, noise: Batch) -> Array:
    """(mean |z| / mean |score|)^2 over the batch, as Song et al. 2021 do: an image then depends on its batch."""
    return (jnp.mean(_norms(noise)) / jnp.mean(_norms(score))) ** 2


def annealed(sde: SDE, t: Array, score: Batch, noise: Batch) -> Array:
    """std(t)^2: annealed Langevin dynamics (Song & Ermon 2019)."""
    return sde.std(t) ** 2


def langevin(
    sampler: Sampler,
    sde: SDE,
    snr: float = 0.16,
    num_steps: int = 1,
    step_size: StepSize = per_example,
    marginals: SDE | None = None,
) -> Sampler:
    """num_steps times x + e score + sqrt(2 e) z at the present level, then `sampler`'s step.

    e = 2 alpha snr^2 step_size, in the SDE's native coordinates.

    Args:
      sampler: any sampler, usually `predictor(sde, reverse_diffusion)`.
      sde: in whose coordinates the correction is made.
      snr: target signal-to-noise ratio, > 0; the paper's is 0.16 for VE and VP on CIFAR-10.
      num_steps: corrections a level, >= 1.
      step_size: `per_example` (the default), `batch_mean` (the paper's), or `annealed`.
      marginals: as for `predictor`.
    Returns: a stochastic Sampler with num_steps more evaluations a step.
    Raises: ValueError when snr is not positive or num_steps below 1.
    Reference: Song et al. 2021, Algorithms 4 and 5.
    Example:
      >>> from jaxdiff.samplers import euler, sample
      >>> ve = sdes.ve()
      >>> x = 50 * jax.random.normal(jax.random.key(0), (4, 2))
      >>> corrected = langevin(euler(), ve, num_steps=2)
      >>> sample(corrected, lambda x, sigma: x / (1 + sigma**2), x, sdes.grid(ve, 8), key=jax.random.key(1)).shape
      (4, 2)
    """
    if not snr > 0:
        raise ValueError(f"snr must be positive, got {snr}")
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")

    def draw(key: Key, x: Batch) -> Noise:
        key_correct, key_step = jax.random.split(key)
        return jax.random.normal(key_correct, (num_steps, *x.shape), x.dtype), sampler.draw(key_step, x)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        corrections, inner = noise
        t = sde.time(level.sigma)
        scale = expand(sde.a(t), x)

        def correct(x_t: Batch, z: Batch) -> tuple[Batch, None]:
            score = sdes.score(marginals or sde, denoise, x_t, t)
            e = 2 * sde.step_size(t, level.num_steps) * snr**2 * step_size(sde, t, score, z)
            return x_t + expand(e, x) * score + expand(jnp.sqrt(2 * e), x) * z, None

        # Draws are [B, num_steps, ...]: one example's come first.
        x_t, _ = jax.lax.scan(correct, scale * x, jnp.moveaxis(corrections, 1, 0))
        return sampler.step(denoise, x_t / scale, carry, level, inner)

    return Sampler(sampler.init, draw, step)


def _norms(a: Batch) -> Array:
    return jnp.sqrt(jnp.sum(a**2, axis=tuple(range(1, a.ndim))))
