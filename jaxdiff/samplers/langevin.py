"""Langevin correction: some steps of MCMC at the level of x before any sampler leaves it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff import sde as sdes
from jaxdiff.samplers.base import Carry, Level, Sampler, memoryless
from jaxdiff.sde import SDE
from jaxdiff.types import Array, Batch, Denoiser, Key, Noise, expand

StepSize = Callable[[SDE, Array, Batch, Batch], Array]
"""step_size(sde, t, score, noise) -> [] or [B], before the factor 2 alpha snr^2."""


def per_example(sde: SDE, t: Array, score: Batch, noise: Batch) -> Array:
    """d / |score|^2, example by example, so that images do not influence each other; d = E|z|^2 numbers an image.

    The drawn |z|^2 would go with the noise that it scales, and raise the variance by 2 / d. For images: in a few
    dimensions a score near 0 makes the step large, take `annealed` there. It is at most 10 prior_std^2, which no exact
    score reaches: its mean square is at least that of a Gaussian with the variance of x (Cramer and Rao), but an
    untrained network says 0.
    """
    size = score[0].size
    return size / jnp.maximum(_norms(score) ** 2, size / (10 * sde.prior_std**2))


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
    """Corrections at the present level, then `sampler`'s step: `in_turn(correction(sde, ...), sampler)`.

    Args:
      sampler: any sampler, usually `predictor(sde, reverse_diffusion)`.
      sde, snr, num_steps, step_size, marginals: of the `correction`.
    Returns: a stochastic Sampler with num_steps more evaluations a step.
    Raises: ValueError as `correction`.
    Reference: Song et al. 2021, Algorithms 2 and 3.
    Example:
      >>> from jaxdiff.samplers import euler, sample
      >>> ve = sdes.ve()
      >>> x = 50 * jax.random.normal(jax.random.key(0), (4, 2))
      >>> corrected = langevin(euler(), ve, num_steps=2)
      >>> sample(corrected, lambda x, sigma: x / (1 + sigma**2), x, sdes.grid(ve, 8), key=jax.random.key(1)).shape
      (4, 2)
    """
    return in_turn(correction(sde, snr, num_steps, step_size, marginals), sampler)


def in_turn(stay: Sampler, go: Sampler) -> Sampler:
    """`stay` at the present level, then `go` to the next one; to `stay` both ends of its step are the present level."""

    def draw(key: Key, x: Batch) -> Noise:
        key_stay, key_go = jax.random.split(key)
        return stay.draw(key_stay, x), go.draw(key_go, x)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        x, stayed = stay.step(denoise, x, carry[0], level._replace(sigma_next=level.sigma), noise[0])
        x, gone = go.step(denoise, x, carry[1], level, noise[1])
        return x, (stayed, gone)

    return Sampler(lambda x: (stay.init(x), go.init(x)), draw, step)


def correction(
    sde: SDE,
    snr: float = 0.16,
    num_steps: int = 1,
    step_size: StepSize = per_example,
    marginals: SDE | None = None,
) -> Sampler:
    """num_steps times x + e score + sqrt(2 e) z, which leave x at its level.

    e = 2 alpha snr^2 step_size, in the SDE's native coordinates.

    Args:
      sde: in whose coordinates the correction is made.
      snr: target signal-to-noise ratio, > 0; the paper's is 0.16 for VE and VP on CIFAR-10.
      num_steps: corrections a level, >= 1.
      step_size: `per_example` (the default), `batch_mean` (the paper's), or `annealed`.
      marginals: as for `predictor`.
    Raises: ValueError when snr is not positive or num_steps below 1.
    Reference: Song et al. 2021, Algorithms 4 and 5.
    """
    if not snr > 0:
        raise ValueError(f"snr must be positive, got {snr}")
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")

    def draw(key: Key, x: Batch) -> Noise:
        return jax.random.normal(key, (num_steps, *x.shape), x.dtype)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        t = sde.time(level.sigma)
        scale = expand(sde.a(t), x)

        def correct(x_t: Batch, z: Batch) -> tuple[Batch, None]:
            score = sdes.score(marginals or sde, denoise, x_t, t)
            e = 2 * sde.step_size(t, level.num_steps) * snr**2 * step_size(sde, t, score, z)
            return x_t + expand(e, x) * score + expand(jnp.sqrt(2 * e), x) * z, None

        # Draws are [B, num_steps, ...]: one example's come first.
        x_t, _ = jax.lax.scan(correct, scale * x, jnp.moveaxis(noise, 1, 0))
        return x_t / scale, carry

    return Sampler(memoryless, draw, step)


def _norms(a: Batch) -> Array:
    return jnp.sqrt(jnp.sum(a**2, axis=tuple(range(1, a.ndim))))
