"""Controllable generation: what is known of an image is put back after every step, at the level of that step.

    x' = known part of (data + sigma n) + unknown part of x,      n ~ N(0, I)

Inpainting knows pixels, colourisation one direction of colour: `jaxdiff.known`. Generation of a class needs no sampler
of its own: guide the denoiser by a classifier of noisy images, `guidance.classifier_guide`.
Reference: Song et al. 2021, section 5 and Appendix I.
"""

import jax

from jaxdiff.known import Known, check, mix
from jaxdiff.samplers.base import Carry, Level, Sampler
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Key, Noise, expand


def impute(sampler: Sampler, data: Batch, known: Known) -> Sampler:
    """`sampler` with the known part of the data imposed after every step; into sigma = 0 the data themselves.

    Args:
      sampler: any sampler. In a predictor-corrector both parts are wrapped:
        `in_turn(impute(correction(sde), ...), impute(predictor(sde, update), ...))`.
      data: [B, ...]; what is not known of them does not matter.
      known: from `jaxdiff.known`: `pixels`, `grey`, `patch_means`, `directions`.
    Returns: a stochastic Sampler of the same cost. The authors put the noisy data back at the level that the step left;
      here it is the level that it reached.
    Raises: ValueError when `known` is about images of another shape.
    Reference: Song et al. 2021, Appendix I.2 and I.3.
    Example:
      >>> import jax.numpy as jnp
      >>> from jaxdiff import grids
      >>> from jaxdiff.known import pixels
      >>> from jaxdiff.samplers import heun, sample
      >>> data, known = jnp.ones((1, 2)), pixels(jnp.array([1.0, 0.0]))
      >>> x = 80.0 * jax.random.normal(jax.random.key(0), (1, 2))
      >>> denoise = lambda x, sigma: x / (1 + sigma**2)
      >>> sample(impute(heun(), data, known), denoise, x, grids.karras(8), key=jax.random.key(1))[0, 0].item()
      1.0
    """
    check(known, data)

    def draw(key: Key, x: Array) -> Noise:
        key_step, key_data = jax.random.split(key)
        return sampler.draw(key_step, x), jax.random.normal(key_data, x.shape, x.dtype)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        inner, z = noise
        x, carry = sampler.step(denoise, x, carry, level, inner)
        return impose(x, data, known, level.sigma_next, z), carry

    return sampler._replace(draw=draw, step=step)


def impose(x: Batch, data: Batch, known: Known, sigma: ArrayLike, noise: Batch) -> Batch:
    """Known part of data + sigma * noise, unknown part of x; the noise is that of the coordinates.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxdiff.known import pixels
      >>> known = pixels(jnp.array([1.0, 0.0]))
      >>> impose(jnp.zeros((1, 2)), jnp.ones((1, 2)), known, 0.5, jnp.ones((1, 2))).tolist()
      [[1.5, 0.0]]
    """
    there = known.there(data.astype(x.dtype))
    noised = there + expand(sigma, there) * noise.reshape(there.shape)
    return known.back(mix(known.mask, known.there(x), noised))
