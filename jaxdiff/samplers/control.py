"""Controllable generation: after every step x is projected onto a measurement of the data, at the step's level.

    x' = observed part of (data + sigma n) + the rest of x,      n ~ N(0, I)

Inpainting observes pixels, colourisation one direction of colour: `editing.linear_measurement`. Generation of a class
needs no sampler of its own: guide the denoiser by a classifier of noisy images, `guidance.classifier_guide`.
Reference: Song et al. 2021, section 5 and Appendix I.
"""

import jax

from jaxdiff.editing.linear_measurement import LinearMeasurement, check, mix
from jaxdiff.samplers.base import Carry, Level, Sampler, gaussian
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Key, Noise, expand


def impute(sampler: Sampler, data: Batch, measurement: LinearMeasurement) -> Sampler:
    """Impute the observed part of the data after every step of a sampler; into sigma = 0 without noise.

    x' = `project_x`(step(x), data, measurement, sigma', n),  n ~ N(0, I)

    Args:
      sampler: any sampler. In a predictor-corrector both parts are wrapped:
        `predictor_corrector(impute(correction(sde), ...), impute(predictor(sde, update), ...))`.
      data: [B, ...]; what is not observed of them does not matter.
      measurement: from `jaxdiff.editing.linear_measurement`: `pixels`, `grey`, `patch_means`, `directions`.
    Returns: a stochastic Sampler of the same cost. The authors impute the noisy data at the level that the step left;
      here it is the level that it reached.
    Raises: ValueError when the measurement is of images of another shape.
    Reference: Song et al. 2021, Appendix I.2 and I.3.
    Example:
      >>> import jax.numpy as jnp
      >>> from jaxdiff import grids
      >>> from jaxdiff.editing import pixels
      >>> from jaxdiff.samplers import heun, sample
      >>> data, measurement = jnp.ones((1, 2)), pixels(jnp.array([1.0, 0.0]))
      >>> x = 80.0 * jax.random.normal(jax.random.key(0), (1, 2))
      >>> denoise = lambda x, sigma: x / (1 + sigma**2)
      >>> sample(impute(heun(), data, measurement), denoise, x, grids.karras(8), key=jax.random.key(1))[0, 0].item()
      1.0
    """
    check(measurement, data)

    def draw(key: Key, x: Array) -> Noise:
        key_step, key_data = jax.random.split(key)
        return sampler.draw(key_step, x), gaussian(key_data, x)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        inner, z = noise
        x, carry = sampler.step(denoise, x, carry, level, inner)
        return project_x(x, data, measurement, level.sigma_next, z), carry

    return sampler._replace(draw=draw, step=step)


def project_x(x: Batch, data: Batch, measurement: LinearMeasurement, sigma: ArrayLike, noise: Batch) -> Batch:
    """Project x onto the measurement of noisy data: its observed part becomes that of data + sigma * noise.

    A^-1 [Omega (A data + sigma * noise) + (1 - Omega) (A x)]

    Args:
      x, data: [B, ...].
      measurement: as for `impute`.
      sigma: level of x, [] or [B], >= 0.
      noise: [B, ...], of the coordinates A x.
    Reference: Song et al. 2021, Appendix I.2 and I.3.
    Example:
      >>> import jax.numpy as jnp
      >>> from jaxdiff.editing import pixels
      >>> first = pixels(jnp.array([1.0, 0.0]))
      >>> project_x(jnp.zeros((1, 2)), jnp.ones((1, 2)), first, 0.5, jnp.ones((1, 2))).tolist()
      [[1.5, 0.0]]
    """
    observed = measurement.transform(data.astype(x.dtype))
    noised = observed + expand(sigma, observed) * noise.reshape(observed.shape)
    return measurement.inverse(mix(measurement.mask, measurement.transform(x), noised))
