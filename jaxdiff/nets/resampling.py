"""Changes of resolution by a filter, as StyleGAN 2's: zeros between pixels, convolution, every second pixel."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Image

Direction = Literal["up", "down"]
Resample = Direction | None


def upfirdn(
    x: Image, taps: Sequence[Any], axis: int | tuple[int, int], up: int, down: int, pad: tuple[int, int]
) -> Image:
    """Upsample by zeros, convolve with taps, keep every down-th pixel; along one axis, or two at once.

    Args:
      x: [B, H, W, C].
      taps: the filter, [K]; or [K, L] for a pair of axes, separable or not. A true convolution, which flips it.
      axis: one, or a pair.
      up: up - 1 zeros are put between pixels.
      down: every so many-th pixel is kept.
      pad: zeros at both ends of each axis; negative ones crop.
    Raises: ValueError for taps of other than one dimension an axis.
    Reference: Karras et al. 2020 (StyleGAN 2). Written as a sum of shifted images, which XLA fuses; a depthwise
      convolution is many times slower on CPUs.
    Example:
      >>> upfirdn(jnp.array([1.0, 2.0]).reshape(1, 1, 2, 1), [1, 1], axis=2, up=2, down=1, pad=(1, 1)).ravel().tolist()
      [1.0, 1.0, 2.0, 2.0]
    """
    axes, weights = np.atleast_1d(axis), np.flip(np.asarray(taps))
    if weights.ndim != len(axes):
        raise ValueError(f"taps must have one dimension for each of the axes {axis}, got {weights.shape}")
    padding = [(*pad, up - 1) if other in axes else (0, 0, 0) for other in range(x.ndim)]
    padded = jax.lax.pad(x, jnp.zeros((), x.dtype), padding)
    stride = [down if other in axes else 1 for other in range(x.ndim)]

    def term(index: tuple[int, ...]) -> Image:
        start, stop = [0] * x.ndim, list(padded.shape)
        for other, first, length in zip(axes, index, weights.shape, strict=True):
            start[other], stop[other] = first, padded.shape[other] - length + 1 + first
        return jax.lax.slice(padded, start, stop, stride) * jnp.asarray(weights[index], x.dtype)

    return functools.reduce(jnp.add, map(term, np.ndindex(*weights.shape)))


def resample(x: Image, taps: Sequence[float], direction: Resample, pad: int | None = None) -> Image:
    """Resample images to double or half the resolution: filter rows and columns of every channel.

    Args:
      x: [B, H, W, C].
      taps: the separable filter, of even length; its sum does not matter. "up" convolves with it and "down"
        correlates, as EDM; where a reference convolves downwards too, as StyleGAN 2, score SDE and DDGAN, flip it by
        `convolution_taps`. Only filters that are not symmetric know the difference.
      direction: "up" puts zeros between pixels and doubles the filter; "down" keeps every second pixel.
      pad: zeros at every border; the default keeps the image centred.
    Returns: [B, 2H, 2W, C] or [B, H/2, W/2, C].
    Raises: ValueError for another direction.
    Reference: Karras et al. 2020 (StyleGAN 2), whose filter is [1, 3, 3, 1].
    Example:
      >>> resample(jnp.arange(4.0).reshape(1, 2, 2, 1), (1, 1), "down").ravel().tolist()  # the mean of 2x2
      [1.5]
    """
    if direction not in ("up", "down"):
        raise ValueError(f"direction must be up or down, got {direction!r}")
    length = len(taps)
    pad = (length - 1) // 2 if pad is None else pad
    weights = np.asarray(taps, np.float64) / np.sum(taps)
    for axis in (1, 2):
        if direction == "up":
            # A transposed convolution: it spreads zeros between pixels and turns the filter round.
            x = upfirdn(x, 2 * weights, axis, 2, 1, (length - 1 - pad, length - 1 - pad))
        else:
            x = upfirdn(x, weights[::-1], axis, 1, 2, (pad, pad))
    return x


def convolution_taps(taps: Sequence[float], direction: Resample) -> tuple[float, ...]:
    """Return taps for `resample` and `Conv`, so that they convolve with these in both directions.

    Args:
      taps: the filter; direction: "up", "down" or None.
    Returns: the taps, flipped for "down".
    Example:
      >>> convolution_taps((1, 2, 1, 0), "up"), convolution_taps((1, 2, 1, 0), "down")
      ((1, 2, 1, 0), (0, 1, 2, 1))
    """
    return tuple(taps[::-1] if direction == "down" else taps)
