"""Convolutions that change the resolution, or keep it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxdiff.nets.initialisers import Init, bounded_uniform, xavier_uniform
from jaxdiff.nets.resampling import Direction, Resample, resample
from jaxdiff.types import Array, Image


class Conv(nn.Module):
    """Convolution, optionally after (or fused with) a change of resolution.

    Attributes:
      features: channels of the result.
      kernel: odd size; the image is padded by kernel // 2. 0 changes the resolution only.
      direction: "up", "down" or None.
      taps: the resampling filter, in the orientation of `resample`.
      fused: convolve at the higher resolution with one common padding, which differs at the borders.
      kernel_init: of the kernel; biases start in U(-b, b), b = bias_scale / sqrt(fan_in).
      dtype: type of computation; parameters are float32.
      bias: whether there is one.
    Call: conv.apply(params, x [B, H, W, C]) -> [B, H', W', features].
    Reference: Karras et al. 2022, the authors' layer, after Song et al. 2021 and StyleGAN 2.
    Example:
      >>> conv, key = Conv(5, 3, direction="up"), jax.random.key(0)
      >>> jax.eval_shape(conv.init_with_output, key, np.zeros((1, 4, 4, 2)))[0].shape
      (1, 8, 8, 5)
    """

    features: int
    kernel: int
    direction: Resample = None
    taps: Sequence[float] = (1, 1)
    fused: bool = False
    kernel_init: Init = xavier_uniform()
    bias_scale: float = 0.0
    dtype: Any = None
    bias: bool = True

    @nn.compact
    def __call__(self, x: Image) -> Image:
        if not self.kernel:
            return resample(x, self.taps, self.direction)
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        start = bounded_uniform(self.bias_scale / np.prod(shape[:3]) ** 0.5)
        bias = self.param("bias", start, (self.features,)) if self.bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        w_pad, f_pad = self.kernel // 2, (len(self.taps) - 1) // 2
        if self.direction is None:
            y = convolve(x, kernel, w_pad)
        elif not self.fused:
            y = convolve(resample(x, self.taps, self.direction), kernel, w_pad)
        elif self.direction == "up":
            y = convolve(resample(x, self.taps, "up", max(f_pad - w_pad, 0)), kernel, max(w_pad - f_pad, 0))
        else:
            y = resample(convolve(x, kernel, w_pad + f_pad), self.taps, self.direction, 0)
        return y if bias is None else y + bias[None, None, None]


def convolve(x: Image, kernel: Array, pad: int) -> Image:
    """Convolve images with a kernel, at stride 1 and with zeros around.

    A 1x1 kernel is a matrix product, which XLA runs faster as such.
    Args:
      x: [B, H, W, C].
      kernel: [h, w, C, D].
      pad: zeros at every border.
    Returns: [B, H + 2 pad - h + 1, W + 2 pad - w + 1, D].
    Example:
      >>> convolve(np.ones((1, 4, 4, 2)), np.ones((3, 3, 2, 5)), pad=1)[0, 1, 1].tolist()
      [18.0, 18.0, 18.0, 18.0, 18.0]
    """
    if kernel.shape[:2] == (1, 1) and not pad:
        return x @ kernel[0, 0]
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def strided_conv(features: int, dtype: Any, name: str) -> nn.Conv:
    """Make a 3x3 convolution of stride 2, padded at the lower and right border only.

    Args:
      features: channels of the result; dtype: type of computation; name: of the layer.
    Reference: Ho et al. 2020, the authors' network, and Song et al. 2021 after it.
    Example:
      >>> layer = strided_conv(5, None, "down")
      >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), np.zeros((1, 8, 8, 2)))[0].shape
      (1, 4, 4, 5)
    """
    padding = ((0, 1), (0, 1))
    return nn.Conv(features, (3, 3), (2, 2), padding, dtype=dtype, kernel_init=xavier_uniform(), name=name)


def resampling_layer(
    features: int, direction: Direction, taps: Sequence[float] | None, conv: bool, dtype: Any, name: str
) -> Callable[[Image], Image]:
    """Make a layer that doubles or halves the resolution, with a 3x3 convolution (fused with the filter) or without.

    Args:
      features: channels of the result, where there is a convolution.
      direction: "up" or "down".
      taps: in the orientation of `resample`. None for no filter: nearest neighbours upwards; downwards a convolution of
        stride 2, or means without one.
      conv: whether it convolves.
      dtype: type of computation; name: of the layer.
    Returns: a function of images [B, H, W, C].
    Reference: Song et al. 2021, Appendix H.
    Example:
      >>> resampling_layer(5, "down", None, conv=False, dtype=None, name="down")(np.ones((1, 4, 4, 2), "f4")).shape
      (1, 2, 2, 2)
    """
    if not conv:
        return functools.partial(resample, taps=taps or (1, 1), direction=direction)
    if direction == "down" and taps is None:
        return strided_conv(features, dtype, name)
    return Conv(features, 3, direction, taps or (1, 1), True, dtype=dtype, name=name)
