"""The affine map behind scaling, rotation, stretching and fractional translation."""

import math

import jax.numpy as jnp

from jaxdiff.augment.config import Config
from jaxdiff.augment.draws import Draws, gated
from jaxdiff.types import Array

__all__ = ["compose", "has_geometry", "inverse_matrix"]


def has_geometry(config: Config) -> bool:
    """Tell whether any transformation that needs resampling is on.

    Example:
      >>> has_geometry(Config(scale=1)), has_geometry(Config(xflip=1))
      (True, False)
    """
    return max(config.scale, config.rotate_frac, config.aniso, config.translate_frac) > 0


def inverse_matrix(
    config: Config, draws: Draws, height: int, width: int, dtype: jnp.dtype
) -> tuple[Array, list[Array]]:
    """Compute where output pixels come from, in homogeneous coordinates (x right, y down) about the image's centre.

        G^-1 = S^-1 R^-1 A^-1 T^-1,   output = T A R S input

    with s = 2^(std w), S = diag(s, s); R a rotation; A = stretch by s along an axis, 1/s across; T a translation.

    Args:
      config, draws: see `jaxdiff.augment.apply`.
      height, width: size of the image, in pixels.
      dtype: type to compute in.
    Returns: G^-1 [B, 3, 3] and labels, each [B, 1] or [B, 2]: w of the scale; (cos - 1, sin) of the angle; w of the
      stretch along its axis; w of the translation.
    Reference: Karras et al. 2022, Appendix F.2; Karras et al. 2020, Appendix B.
    Example:
      >>> from jaxdiff.augment.draws import Draw
      >>> draws = Draws(scale=Draw(w=jnp.array([1.0]), gate=jnp.array([0.0])))
      >>> matrix, labels = inverse_matrix(Config(scale=1, scale_std=1.0), draws, 8, 8, jnp.float32)
      >>> jnp.diagonal(matrix[0]).tolist(), labels[0].tolist()
      ([0.5, 0.5, 1.0], [[1.0]])
    """
    matrix = jnp.eye(3, dtype=dtype)[None]
    labels = []
    if config.scale > 0:
        w = gated(draws.scale.w.astype(dtype), draws.scale.gate, config.scale * config.p)
        shrink = jnp.exp2(-w * config.scale_std)
        matrix = compose(matrix, _diagonal(shrink, shrink))
        labels.append(w[:, None])
    if config.rotate_frac > 0:
        w = 2 * draws.rotate_frac.w.astype(dtype) - 1
        angle = gated(w * (math.pi * config.rotate_frac_max), draws.rotate_frac.gate, config.rotate_frac * config.p)
        matrix = compose(matrix, _rotation(angle))
        labels.append(jnp.stack([jnp.cos(angle) - 1, jnp.sin(angle)], axis=1))
    if config.aniso > 0:
        w = gated(draws.aniso.w.astype(dtype), draws.aniso.gate, config.aniso * config.p)
        angle = (2 * draws.aniso.r.astype(dtype) - 1) * math.pi
        angle = gated(angle, draws.aniso.rotate_gate, config.aniso_rotate_prob)
        stretch = jnp.exp2(w * config.aniso_std)
        along_axis = compose(_diagonal(1 / stretch, stretch), _rotation(angle))
        matrix = compose(matrix, compose(_rotation(-angle), along_axis))
        labels.append(jnp.stack([w * jnp.cos(angle), w * jnp.sin(angle)], axis=1))
    if config.translate_frac > 0:
        w = gated(draws.translate_frac.w.astype(dtype), draws.translate_frac.gate, config.translate_frac * config.p)
        pixels = w * config.translate_frac_std * jnp.array([[width, height]], dtype)
        matrix = compose(matrix, _translation(-pixels))
        labels.append(w)
    return matrix, labels


def compose(a: Array, b: Array) -> Array:
    """Compute the matrix product a b, at full precision on every device.

    Args:
      a, b: [B or 1, n, n].
    Returns: [B, n, n].
    Example:
      >>> compose(2 * jnp.eye(2)[None], 3 * jnp.eye(2)[None])[0].tolist()
      [[6.0, 0.0], [0.0, 6.0]]
    """
    return jnp.matmul(*jnp.broadcast_arrays(a, b), precision="highest")


def _diagonal(x: Array, y: Array) -> Array:
    """diag(x, y, 1), [B, 3, 3]."""
    return jnp.stack([x, y, jnp.ones_like(x)], axis=1)[:, :, None] * jnp.eye(3, dtype=x.dtype)[None]


def _rotation(angle: Array) -> Array:
    """Rotation that takes x to (cos, sin), [B, 3, 3]."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
    return jnp.stack([c, -s, zero, s, c, zero, zero, zero, one], axis=1).reshape(-1, 3, 3)


def _translation(pixels: Array) -> Array:
    """Translation by `pixels` [B, 2], [B, 3, 3]."""
    return jnp.eye(3, dtype=pixels.dtype)[None] + jnp.pad(pixels[:, :, None], ((0, 0), (0, 1), (2, 0)))
