"""The whole augmentation: draws in, images and labels out."""

import jax.numpy as jnp

from jaxdiff.augment.blit import blit
from jaxdiff.augment.color import color_matrix, has_color, recolor
from jaxdiff.augment.config import Config, label_dim
from jaxdiff.augment.draws import Draws, draw
from jaxdiff.augment.geometry import has_geometry, inverse_matrix
from jaxdiff.augment.resample import warp
from jaxdiff.types import Array, Key, state_type

__all__ = ["apply", "augment"]


def apply(config: Config, draws: Draws, images: Array, *, margins: Array | None = None) -> tuple[Array, Array]:
    """Apply the transformations of `draws` to images.

    Args:
      config: which transformations are on, static.
      draws: from `draw`, or recorded.
      images: [B, H, W, C] in [-1, 1], floating; C is 1 or 3 where colours are transformed.
      margins: [4] pixels (left, top, right, bottom) of reflection around the image, zeros beyond. The default is the
        most there can be, size - 1, so that no image depends on the others. EDM's reference takes what the batch
        needs, `batch_margins`; a few border pixels then differ, by up to 2e-4 in images of white noise.
    Returns: images [B, H, W, C] in float32 (float64 where they were), not clipped to [-1, 1], and labels
      [B, label_dim(config)] in the order of Config's fields; zero where a transformation did not act.
    Raises: ValueError when a number in `config` is out of range, draws are missing or have another batch size, images
      have the wrong rank, type or channels, or quarter turns are asked of images that are not square.
    Reference: Karras et al. 2022, Appendix F.2; Karras et al. 2020, Appendix B.
    Example:
      >>> from jax import random
      >>> config = Config(xflip=1, hue=1)
      >>> images = jnp.zeros((2, 8, 8, 3))
      >>> out, labels = apply(config, draw(random.key(0), 2, config), images)
      >>> out.shape, labels.shape
      ((2, 8, 8, 3), (2, 3))
    """
    _check(config, draws, images, margins)
    batch, height, width, _ = images.shape
    images = images.astype(state_type(images))
    images, labels = blit(config, draws, images)
    if has_geometry(config):
        matrix, more = inverse_matrix(config, draws, height, width, images.dtype)
        images, labels = warp(matrix, images, margins), labels + more
    if has_color(config):
        matrix, more = color_matrix(config, draws, images.dtype)
        images, labels = recolor(matrix, images), labels + more
    return images, jnp.concatenate([jnp.zeros((batch, 0), images.dtype), *labels], axis=1)


def augment(key: Key, images: Array, config: Config) -> tuple[Array, Array]:
    """Augment images at random: `apply` on what `draw` gives.

    Args:
      key: one key for the batch, or [B] keys, one an image.
      images: [B, H, W, C] in [-1, 1].
      config: see Config; EDM's is `edm_config()`.
    Returns: images [B, H, W, C] and labels [B, label_dim(config)].
    Raises: ValueError as `draw` and `apply` do.
    Example:
      >>> from jax import random
      >>> images, labels = augment(random.key(0), jnp.zeros((2, 8, 8, 3)), Config(xflip=1, translate_frac=1))
      >>> labels.shape
      (2, 3)
    """
    return apply(config, draw(key, images.shape[0], config), images)


def _check(config: Config, draws: Draws, images: Array, margins: Array | None) -> None:
    label_dim(config)
    if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images must be floating [B, H, W, C], got {images.dtype} {list(images.shape)}")
    if margins is not None and margins.shape != (4,):
        raise ValueError(f"margins must be [4] (left, top, right, bottom), got {list(margins.shape)}")
    batch, height, width, _ = images.shape
    if config.rotate_int > 0 and height != width:
        raise ValueError(f"images must be square where rotate_int is on, got {height} x {width}")
    for name, value in draws._asdict().items():
        if getattr(config, name) > 0 and (value is None or value.w.shape[0] != batch):
            got = "none" if value is None else value.w.shape[0]
            raise ValueError(f"draws.{name} must hold one draw for each of {batch} images, got {got}")
