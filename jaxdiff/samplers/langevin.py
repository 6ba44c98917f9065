"""Langevin correction: some steps of MCMC at the level of x before any sampler leaves it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff import process
from jaxdiff.grids import check_num_steps
from jaxdiff.process.sde import SDE
from jaxdiff.samplers.base import Carry, Level, Sampler, memoryless
from jaxdiff.types import Array, Batch, Denoiser, Key, Noise, expand

StepSize = Callable[[SDE, Array, Batch, Batch], Array]
"""step_size(sde, t, score, noise) -> [] or [B], before the factor 2 alpha snr^2."""


def per_example_step_size(sde: SDE, t: Array, score: Batch, noise: Batch) -> Array:
    """Compute the step size d / |score|^2 example by example, so that images do not influence each other.

    d = E|z|^2, the numbers of an image; the result is at most 10 prior_std^2.

    The drawn |z|^2 would depend on the noise that it scales, and raise the variance by 2 / d. For images: in a few
    dimensions a score near 0 makes the step large, so take `annealed_step_size` there. No exact score reaches the
    bound, as its mean square is at least that of a Gaussian with the variance of x (Cramer and Rao), but an untrained
    network's score is 0.

    Args:
      sde: whose prior_std bounds the step; t: [], unused.
      score, noise: [B, ...]; of the noise nothing is used.
    Returns: [B].
    Reference: Song et al. 2021, Alg. 4 and 5, with their advice for small batches, sqrt(d) for |z|.
    Example: data ~ N(0, 1) have |score|^2 = d on average, and the step is 1
      >>> per_example_step_size(process.sde.vp(), jnp.array(0.5), jnp.ones((1, 4)), jnp.ones((1, 4))).tolist()
      [1.0]
    """
    size = score[0].size
    return size / jnp.maximum(_norms(score) ** 2, size / (10 * sde.prior_std**2))


def batch_mean_step_size(sde: SDE, t: Array, score: Batch, noise: Batch) -> Array:
    """Compute the paper's step size, (mean |z| / mean |score|)^2: an image then depends on its batch.

    Args: as `per_example_step_size`; both means are over the batch.
    Returns: [].
    Reference: Song et al. 2021, Alg. 4 and 5, in their released code.
    Example:
      >>> batch_mean_step_size(process.sde.vp(), jnp.array(0.5), jnp.ones((1, 4)), 2 * jnp.ones((1, 4))).item()
      4.0
    """
    return (jnp.mean(_norms(noise)) / jnp.mean(_norms(score))) ** 2


def annealed_step_size(sde: SDE, t: Array, score: Batch, noise: Batch) -> Array:
    """Compute the step size of annealed Langevin dynamics, std(t)^2.

    Args: as `per_example_step_size`; of the score and the noise nothing is used.
    Returns: [].
    Reference: Song & Ermon 2019, Alg. 1.
    Example:
      >>> bool(jnp.isclose(annealed_step_size(process.sde.ve(1.0, 4.0), jnp.array(0.5), jnp.ones(1), jnp.ones(1)), 4.0))
      True
    """
    return sde.std(t) ** 2


def langevin(
    sampler: Sampler,
    sde: SDE,
    snr: float = 0.16,
    num_steps: int = 1,
    step_size: StepSize = per_example_step_size,
    marginals: SDE | None = None,
) -> Sampler:
    """Wrap a sampler in Langevin corrections: `predictor_corrector(correction(sde, ...), sampler)`.

    Args:
      sampler: any sampler, usually `predictor(sde, reverse_diffusion)`.
      sde, snr, num_steps, step_size, marginals: of the `correction`.
    Returns: a stochastic Sampler with num_steps more evaluations a step.
    Raises: ValueError as `correction`.
    Reference: Song et al. 2021, Alg. 2 (VE) and 3 (VP).
    Example: the predictor has the last word, here of a single data point, 3
      >>> from jaxdiff.samplers import euler, sample
      >>> ve = process.sde.ve()
      >>> corrected, grid = langevin(euler(), ve, num_steps=2), process.sde.grid(ve, 8)
      >>> sample(corrected, lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), grid, key=jax.random.key(1)).item()
      3.0
    """
    return predictor_corrector(correction(sde, snr, num_steps, step_size, marginals), sampler)


def predictor_corrector(corrector: Sampler, predictor: Sampler) -> Sampler:
    """Combine a corrector and a predictor, which act in this order: correct x at its level, then step to the next.

    Args:
      corrector: leaves x at its level: both ends of its step are the present one; usually a `correction`.
      predictor: any sampler.
    Returns: a Sampler with the evaluations of both; its noise and its carry are pairs in this order.
    Reference: Song et al. 2021, Alg. 1, which predicts first; here a loop over levels starts with the correction, which
      is the same sequence but for its two ends.
    Example:
      >>> from jaxdiff.samplers import euler
      >>> sampler = predictor_corrector(correction(process.sde.ve(), num_steps=3), euler())
      >>> [jnp.shape(z) for z in jax.tree.leaves(sampler.draw(jax.random.key(0), jnp.zeros(2)))]
      [(3, 2)]
    """

    def draw(key: Key, x: Batch) -> Noise:
        key_corrector, key_predictor = jax.random.split(key)
        return corrector.draw(key_corrector, x), predictor.draw(key_predictor, x)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        x, corrected = corrector.step(denoise, x, carry[0], level._replace(sigma_next=level.sigma), noise[0])
        x, predicted = predictor.step(denoise, x, carry[1], level, noise[1])
        return x, (corrected, predicted)

    return Sampler(lambda x: (corrector.init(x), predictor.init(x)), draw, step)


def correction(
    sde: SDE,
    snr: float = 0.16,
    num_steps: int = 1,
    step_size: StepSize = per_example_step_size,
    marginals: SDE | None = None,
) -> Sampler:
    """Correct x by num_steps steps of Langevin dynamics, which leave it at its level.

    x + e score + sqrt(2 e) z,  e = 2 alpha snr^2 step_size,  in the SDE's native coordinates

    Args:
      sde: in whose coordinates the correction is made.
      snr: target signal-to-noise ratio, > 0; the paper's is 0.16 for VE and VP on CIFAR-10.
      num_steps: corrections a level, >= 1.
      step_size: `per_example_step_size` (the default), `batch_mean_step_size` (the paper's), or `annealed_step_size`.
      marginals: as for `predictor`.
    Raises: ValueError when snr is not positive or num_steps below 1.
    Reference: Song et al. 2021, Alg. 4 (VE) and 5 (VP).
    Example: the level stays that of x
      >>> level = Level(jnp.array(0), jnp.array(1.0), jnp.array(1.0), 8)
      >>> sampler = correction(process.sde.ve(), step_size=lambda *_: jnp.zeros(()))
      >>> x, _ = sampler.step(lambda x, sigma: 0 * x, jnp.ones((1, 2)), (), level, jnp.ones((1, 1, 2)))
      >>> x.tolist()
      [[1.0, 1.0]]
    """
    if not snr > 0:
        raise ValueError(f"snr must be positive, got {snr}")
    check_num_steps(num_steps)

    def draw(key: Key, x: Batch) -> Noise:
        return jax.random.normal(key, (num_steps, *x.shape), x.dtype)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        t = sde.time(level.sigma)
        scale = expand(sde.a(t), x)

        def correct(x_t: Batch, z: Batch) -> tuple[Batch, None]:
            score = process.reverse_sde.score(marginals or sde, denoise, x_t, t)
            e = 2 * sde.step_size(t, level.num_steps) * snr**2 * step_size(sde, t, score, z)
            return x_t + expand(e, x) * score + expand(jnp.sqrt(2 * e), x) * z, None

        # Draws are [B, num_steps, ...]: one example's come first.
        x_t, _ = jax.lax.scan(correct, scale * x, jnp.moveaxis(noise, 1, 0))
        return x_t / scale, carry

    return Sampler(memoryless, draw, step)


def _norms(a: Batch) -> Array:
    return jnp.sqrt(jnp.sum(a**2, axis=tuple(range(1, a.ndim))))
