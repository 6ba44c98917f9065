"""Transformations that move whole pixels: flips, quarter turns, integer translations."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.augment.config import Config
from jaxdiff.augment.draws import Draws, gated
from jaxdiff.types import Array, expand

__all__ = ["blit", "reflect"]

ArrayT = TypeVar("ArrayT", Array, np.ndarray)


def blit(config: Config, draws: Draws, images: Array) -> tuple[Array, list[Array]]:
    """Apply x-flip, y-flip, rotation by quarter turns and integer translation, in this order.

    Args:
      config, draws: see `jaxdiff.augment.apply`.
      images: [B, H, W, C].
    Returns: images [B, H, W, C] and labels, each [B, 1] or [B, 2]: the flips; (0, 0), (1, 0), (1, 1), (0, 1) for 0 to 3
      quarter turns, counter-clockwise; the translation (right, up) over its largest value.
    Reference: Karras et al. 2020, Appendix B, "pixel blitting". As in EDM's recorded runs the whole-pixel translation
      counts y upwards, the fractional one downwards.
    Example:
      >>> from jaxdiff.augment.draws import Draw
      >>> draws = Draws(xflip=Draw(w=jnp.array([1]), gate=jnp.array([0.0])))
      >>> images, labels = blit(Config(xflip=1), draws, jnp.array([1.0, 2.0]).reshape(1, 1, 2, 1))
      >>> images.ravel().tolist(), labels[0].tolist()
      ([2.0, 1.0], [[1.0]])
    """
    dtype, (height, width) = images.dtype, images.shape[1:3]
    labels = []
    if config.xflip > 0:
        w = gated(draws.xflip.w, draws.xflip.gate, config.xflip * config.p)
        images = jnp.where(expand(w == 1, images), images[:, :, ::-1], images)
        labels.append(w[:, None].astype(dtype))
    if config.yflip > 0:
        w = gated(draws.yflip.w, draws.yflip.gate, config.yflip * config.p)
        images = jnp.where(expand(w == 1, images), images[:, ::-1], images)
        labels.append(w[:, None].astype(dtype))
    if config.rotate_int > 0:
        w = gated(draws.rotate_int.w, draws.rotate_int.gate, config.rotate_int * config.p)
        half = jnp.where(expand(w >= 2, images), images[:, ::-1, ::-1], images)
        images = jnp.where(expand(w % 2 == 1, images), jnp.rot90(half, axes=(1, 2)), half)
        labels.append(jnp.stack([(w == 1) | (w == 2), (w == 2) | (w == 3)], axis=1).astype(dtype))
    if config.translate_int > 0:
        largest = jnp.array([[width, height]], dtype) * config.translate_int_max
        w = gated(
            2 * draws.translate_int.w.astype(dtype) - 1, draws.translate_int.gate, config.translate_int * config.p
        )
        pixels = jnp.round(w * largest)
        right, up = pixels.astype(jnp.int32).T
        rows = reflect(jnp.arange(height)[None] + up[:, None], height)
        columns = reflect(jnp.arange(width)[None] - right[:, None], width)
        images = jax.vmap(lambda image, y, x: image[y][:, x])(images, rows, columns)
        labels.append(pixels / largest)
    return images, labels


def reflect(index: ArrayT, size: int) -> ArrayT:
    """Return the index of the pixel met at `index` when the image is mirrored at its border pixels, not repeated.

    Args:
      index: any integers.
      size: pixels of the image.
    Returns: integers in [0, size).
    Example:
      >>> reflect(np.arange(-2, 5), 3).tolist()
      [2, 1, 0, 1, 2, 1, 0]
    """
    period = max(2 * (size - 1), 1)
    return size - 1 - abs(size - 1 - index % period)
