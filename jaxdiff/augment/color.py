"""The affine map of colours behind brightness, contrast, luma flip, hue and saturation."""

import math

import jax.numpy as jnp
import numpy as np

from jaxdiff.augment.config import Config
from jaxdiff.augment.draws import Draws, gated
from jaxdiff.augment.geometry import compose
from jaxdiff.types import Array

__all__ = ["color_matrix", "has_color", "recolor"]

# Unit vector v of the grey axis in (r, g, b, 1), the projection v v^T onto it, and u -> v x u for vectors of colours.
_ON_GREY = np.pad(np.full((3, 3), 1 / 3), ((0, 1), (0, 1)))
_OFF_GREY = np.eye(4) - _ON_GREY
_CROSS = np.pad(np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3), ((0, 1), (0, 1)))


def has_color(config: Config) -> bool:
    """Tell whether any transformation of colours is on.

    Example:
      >>> has_color(Config(hue=1)), has_color(Config(xflip=1))
      (True, False)
    """
    return max(config.brightness, config.contrast, config.lumaflip, config.hue, config.saturation) > 0


def color_matrix(config: Config, draws: Draws, dtype: jnp.dtype) -> tuple[Array, list[Array]]:
    """Compute the affine map of (r, g, b, 1); with v the grey axis, b = std w, c = 2^(std w), s = 2^(std w):

        M = [v v^T + s (I - v v^T)] [rotation about v] [I - 2 v v^T or I] [diag(c, c, c, 1)] [translation by b]

    Args:
      config, draws: see `jaxdiff.augment.apply`.
      dtype: type to compute in.
    Returns: M [B, 4, 4], of which the first three rows count, and labels, each [B, 1] or [B, 2]: w of brightness,
      contrast, luma flip; (cos - 1, sin) of the hue's angle; w of saturation.
    Reference: Karras et al. 2020, Appendix B, "color transformations".
    Example:
      >>> from jaxdiff.augment.draws import Draw
      >>> draws = Draws(contrast=Draw(w=jnp.array([2.0]), gate=jnp.array([0.0])))
      >>> jnp.diagonal(color_matrix(Config(contrast=1, contrast_std=0.5), draws, jnp.float32)[0][0]).tolist()
      [2.0, 2.0, 2.0, 1.0]
    """
    eye, on_grey, off_grey = (jnp.asarray(m, dtype)[None] for m in (np.eye(4), _ON_GREY, _OFF_GREY))
    cross, matrix = jnp.asarray(_CROSS, dtype)[None], eye
    labels = []
    if config.brightness > 0:
        w = gated(draws.brightness.w.astype(dtype), draws.brightness.gate, config.brightness * config.p)
        to_colors = jnp.asarray(np.eye(4)[3] * np.array([[1.0], [1.0], [1.0], [0.0]]), dtype)[None]
        matrix = compose(eye + _column(w * config.brightness_std) * to_colors, matrix)
        labels.append(w[:, None])
    if config.contrast > 0:
        w = gated(draws.contrast.w.astype(dtype), draws.contrast.gate, config.contrast * config.p)
        colors = jnp.asarray(np.diag([1.0, 1.0, 1.0, 0.0]), dtype)[None]
        matrix = compose(eye + (_column(jnp.exp2(w * config.contrast_std)) - 1) * colors, matrix)
        labels.append(w[:, None])
    if config.lumaflip > 0:
        w = gated(draws.lumaflip.w, draws.lumaflip.gate, config.lumaflip * config.p).astype(dtype)
        matrix = compose(eye - 2 * _column(w) * on_grey, matrix)
        labels.append(w[:, None])
    if config.hue > 0:
        w = 2 * draws.hue.w.astype(dtype) - 1
        angle = gated(w * (math.pi * config.hue_max), draws.hue.gate, config.hue * config.p)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        fixed = jnp.asarray(np.diag([0.0, 0.0, 0.0, 1.0]), dtype)[None]
        rotation = on_grey + fixed + _column(cos) * (off_grey - fixed) + _column(sin) * cross
        matrix = compose(rotation, matrix)
        labels.append(jnp.stack([cos - 1, sin], axis=1))
    if config.saturation > 0:
        w = gated(draws.saturation.w.astype(dtype), draws.saturation.gate, config.saturation * config.p)
        matrix = compose(on_grey + _column(jnp.exp2(w * config.saturation_std)) * off_grey, matrix)
        labels.append(w[:, None])
    return matrix, labels


def recolor(matrix: Array, images: Array) -> Array:
    """Recolor images by an affine map; grey ones are lifted to (y, y, y) and averaged.

    Args:
      matrix: [B, 4, 4].
      images: [B, H, W, 3] or [B, H, W, 1].
    Returns: images of the same shape.
    Raises: ValueError when images have neither one nor three channels.
    Example:
      >>> recolor(2 * jnp.eye(4)[None], jnp.ones((1, 1, 1, 3))).ravel().tolist()
      [2.0, 2.0, 2.0]
    """
    linear, offset = matrix[:, :3, :3], matrix[:, :3, 3]
    if images.shape[-1] == 1:
        linear, offset = linear.sum(axis=2).mean(axis=1)[:, None, None], offset.mean(axis=1)[:, None]
    elif images.shape[-1] != 3:
        raise ValueError(f"images must have 1 or 3 channels where colours are transformed, got {images.shape[-1]}")
    mixed = jnp.einsum("bhwc,bdc->bhwd", images, linear, precision="highest")
    return mixed + offset[:, None, None, :]


def _column(a: Array) -> Array:
    return a[:, None, None]
