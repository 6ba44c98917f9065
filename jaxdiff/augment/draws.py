"""The random numbers of the augmentation, raw: before gates and strengths act on them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random

from jaxdiff import keys
from jaxdiff.augment.config import Config, validate
from jaxdiff.types import Array, Key

__all__ = ["Draw", "Draws", "draw", "gated"]


_OFF: Any = None  # an empty pytree, so that a transformation that is off costs nothing


class Draw(NamedTuple):
    """Raw draws of one transformation, one an image.

    The transformation acts where `gate` < multiplier * p.
    """

    w: Array
    """[B], or [B, 2] (x, y) for translations: uniform in [0, 1), standard normal, or an integer."""
    gate: Array
    """[B], uniform in [0, 1)."""
    r: Array = _OFF
    """[B], uniform in [0, 1): direction of the stretch; `aniso` only."""
    rotate_gate: Array = _OFF
    """[B], uniform in [0, 1): the direction counts where it is < aniso_rotate_prob; `aniso` only."""


class Draws(NamedTuple):
    """One Draw for each transformation that is on, None for the others."""

    xflip: Draw = _OFF
    yflip: Draw = _OFF
    rotate_int: Draw = _OFF
    translate_int: Draw = _OFF
    scale: Draw = _OFF
    rotate_frac: Draw = _OFF
    aniso: Draw = _OFF
    translate_frac: Draw = _OFF
    brightness: Draw = _OFF
    contrast: Draw = _OFF
    lumaflip: Draw = _OFF
    hue: Draw = _OFF
    saturation: Draw = _OFF


def draw(key: Key, batch: int, config: Config) -> Draws:
    """Draw all random numbers for a batch; those of image i depend on `key` and i only, not on B or on what else is on.

    Args:
      key: one key for the batch (example i gets fold_in(key, i)), or [B] keys, one an image.
      batch: number of images, B.
      config: which transformations are on.
    Returns: Draws in float32 and int32.
    Raises: ValueError when `config` is out of range or there are not B keys.
    Example:
      >>> draws = draw(jax.random.key(0), 4, Config(xflip=1, translate_frac=1))
      >>> draws.xflip.w.shape, draws.translate_frac.w.shape, draws.hue
      ((4,), (4, 2), None)
    """
    validate(config)
    key = keys.as_threefry(key)
    if key.shape not in ((), (batch,)):
        raise ValueError(f"key must be one key or {batch} keys, one an image, got shape {list(key.shape)}")
    of_images = key if key.ndim else jax.vmap(random.fold_in, (None, 0))(key, jnp.arange(batch))
    return jax.vmap(lambda k: _draw_one(k, config))(of_images)


def _draw_one(key: Key, config: Config) -> Draws:
    # Three calls to the generator serve all transformations; every number has a fixed place in them.
    key_gate, key_uniform, key_normal = random.split(key, 3)
    gate = random.uniform(key_gate, (13,), jnp.float32)
    uniform = random.uniform(key_uniform, (10,), jnp.float32)
    normal = random.normal(key_normal, (7,), jnp.float32)

    def choice(u: Array, n: int) -> Array:
        return jnp.floor(u * n).astype(jnp.int32)

    every = Draws(
        xflip=Draw(choice(uniform[0], 2), gate[0]),
        yflip=Draw(choice(uniform[1], 2), gate[1]),
        rotate_int=Draw(choice(uniform[2], 4), gate[2]),
        translate_int=Draw(uniform[3:5], gate[3]),
        scale=Draw(normal[0], gate[4]),
        rotate_frac=Draw(uniform[5], gate[5]),
        aniso=Draw(normal[1], gate[6], r=uniform[6], rotate_gate=uniform[7]),
        translate_frac=Draw(normal[2:4], gate[7]),
        brightness=Draw(normal[4], gate[8]),
        contrast=Draw(normal[5], gate[9]),
        lumaflip=Draw(choice(uniform[8], 2), gate[10]),
        hue=Draw(uniform[9], gate[11]),
        saturation=Draw(normal[6], gate[12]),
    )
    off = {name: _OFF for name in Draws._fields if getattr(config, name) == 0}
    return every._replace(**off)


def gated(value: Array, gate: Array, threshold: float) -> Array:
    """Keep a value where gate < threshold, else return 0: no transformation and a label of 0.

    Args:
      value: [B] or [B, 2].
      gate: [B], uniform in [0, 1).
      threshold: the probability with which the transformation acts.
    Returns: as `value`.
    Example:
      >>> gated(jnp.array([5.0, 5.0]), jnp.array([0.1, 0.9]), 0.5).tolist()
      [5.0, 0.0]
    """
    active = gate < threshold
    return jnp.where(active if value.ndim == 1 else active[:, None], value, jnp.zeros_like(value))
