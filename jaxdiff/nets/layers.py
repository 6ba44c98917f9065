"""Layers that the U-Nets share: initialisations, convolution with resampling, activations, group norm, attention."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array

Image = Array
"""[B, H, W, C]."""
Init = Callable[..., Array]
"""An initialiser as jax.nn.initializers makes them."""
Resample = Literal["up", "down"] | None
Nonlinearity = Literal["swish", "elu", "relu", "lrelu"]
ACTIVATIONS: dict[Nonlinearity, Callable[[Array], Array]] = {
    "swish": nn.silu,
    "elu": nn.elu,
    "relu": nn.relu,
    "lrelu": functools.partial(nn.leaky_relu, negative_slope=0.2),
}
"""By the names of Song et al.'s configurations."""


def activation(nonlinearity: Nonlinearity) -> Callable[[Array], Array]:
    """The activation of a name; "lrelu" is leaky with a slope of 0.2.

    Raises: ValueError for another name.
    Example:
      >>> activation("lrelu")(jnp.array([-5.0, 5.0])).tolist()
      [-1.0, 5.0]
    """
    if nonlinearity not in ACTIVATIONS:
        raise ValueError(f"nonlinearity must be one of {', '.join(ACTIVATIONS)}, got {nonlinearity!r}")
    return ACTIVATIONS[nonlinearity]


def scaled(init: Init, scale: float) -> Init:
    """An initialisation times a number, which may be 0."""
    return lambda key, shape, dtype=jnp.float32, **kwargs: scale * init(key, shape, dtype)


def xavier_uniform(scale: float = 1.0) -> Init:
    """U(-b, b), b = scale * sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return scaled(jax.nn.initializers.glorot_uniform(), scale)


def kaiming_uniform(scale: float = 1.0) -> Init:
    """U(-b, b), b = scale * sqrt(3 / fan_in) (He et al. 2015)."""
    return scaled(jax.nn.initializers.variance_scaling(1.0, "fan_in", "uniform"), scale)


def bounded(bound: float) -> Init:
    """U(-bound, bound); zeros for 0."""
    return lambda key, shape, dtype=jnp.float32, **kwargs: jax.random.uniform(key, shape, dtype, -bound, bound)


def upfirdn(
    x: Image, taps: Sequence[Any], axis: int | tuple[int, int], up: int, down: int, pad: tuple[int, int]
) -> Image:
    """Zeros between pixels, convolution with the taps, every down-th pixel; along one axis, or two at once.

    Args:
      x: [B, H, W, C].
      taps: the filter, [K]; or [K, L] for a pair of axes, separable or not. A true convolution, which turns it round.
      up: up - 1 zeros are put between pixels.
      down: every so many-th pixel is kept.
      pad: zeros at both ends of each axis; negative ones crop.
    Raises: ValueError for taps of other than one dimension an axis.
    Reference: Karras et al. 2020 (StyleGAN 2). Written as a sum of shifted images, which XLA fuses; a depthwise
      convolution is many times slower on CPUs.
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
    """Filter rows and columns of every channel and double or halve the resolution.

    Args:
      x: [B, H, W, C].
      taps: the separable filter, of even length; its sum does not matter. "up" convolves with it and "down"
        correlates, as EDM; where a reference convolves downwards too, as StyleGAN 2, score SDE and DDGAN, turn it
        round by `convolving`. Only filters that are not symmetric know the difference.
      direction: "up" puts zeros between pixels and doubles the filter; "down" keeps every second pixel.
      pad: zeros at every border; the default keeps the image centred.
    Raises: ValueError for another direction.
    Reference: Karras et al. 2020 (StyleGAN 2), whose filter is [1, 3, 3, 1].
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


def convolving(taps: Sequence[float], direction: Resample) -> tuple[float, ...]:
    """Taps for `resample` and `Conv`, so that they convolve with these in both directions.

    Example:
      >>> convolving((1, 2, 1, 0), "up"), convolving((1, 2, 1, 0), "down")
      ((1, 2, 1, 0), (0, 1, 2, 1))
    """
    return tuple(taps[::-1] if direction == "down" else taps)


class Conv(nn.Module):
    """Convolution, optionally after (or fused with) a change of resolution.

    Attributes:
      kernel: odd size; the image is padded by kernel // 2. 0 changes the resolution only.
      direction: "up", "down" or None.
      taps: the resampling filter, in the orientation of `resample`.
      fused: convolve at the higher resolution with one common padding, which differs at the borders.
      bias_scale: biases start in U(-b, b), b = bias_scale / sqrt(fan_in).
      bias: whether there is one.
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
        start = bounded(self.bias_scale / np.prod(shape[:3]) ** 0.5)
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
    """Stride 1, NHWC; a 1x1 kernel is a matrix product, which XLA runs faster as such."""
    if kernel.shape[:2] == (1, 1) and not pad:
        return x @ kernel[0, 0]
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def recomputed(block: type[nn.Module], remat: bool) -> type[nn.Module]:
    """A block called as block(x, told, train), whose activations are taken anew in the backward pass where asked for.

    What is kept are its inputs: memory for the activations of one block, for a second forward pass. Names and
    parameters are the block's.
    """
    return nn.remat(block, static_argnums=(3,)) if remat else block


def strided_conv(features: int, dtype: Any, name: str) -> nn.Conv:
    """A 3x3 convolution of stride 2, padded at the lower and right border only, as DDPM's."""
    padding = ((0, 1), (0, 1))
    return nn.Conv(features, (3, 3), (2, 2), padding, dtype=dtype, kernel_init=xavier_uniform(), name=name)


def resampling(
    features: int, direction: Literal["up", "down"], taps: Sequence[float] | None, conv: bool, dtype: Any, name: str
) -> Callable[[Image], Image]:
    """A layer that changes the resolution, with a 3x3 convolution, which is fused with the filter, or without.

    Args:
      taps: in the orientation of `resample`. None for no filter: nearest neighbours upwards; downwards a convolution of
        stride 2, or means without one.
    """
    if not conv:
        return functools.partial(resample, taps=taps or (1, 1), direction=direction)
    if direction == "down" and taps is None:
        return strided_conv(features, dtype, name)
    return Conv(features, 3, direction, taps or (1, 1), True, dtype=dtype, name=name)


def group_norm(channels: int, eps: float, dtype: Any, name: str, least: int = 4) -> nn.GroupNorm:
    """min(32, C // least) groups, statistics in float32 or better."""
    return nn.GroupNorm(num_groups=min(32, channels // least), epsilon=eps, dtype=dtype, name=name)


def attention(q: Array, k: Array, v: Array) -> Array:
    """softmax(q k^T / sqrt(C)) v over positions.

    Args:
      q, k, v: [B, N, heads, C].
    Returns: [B, N, heads, C] in the type of q; the softmax is taken in float32 or better.
    Reference: Vaswani et al. 2017, Eq. 1.
    """
    if q.dtype == jnp.float64:  # the library's function takes the softmax in float32
        logits = jnp.einsum("bqhc,bkhc->bhqk", q, k) / q.shape[-1] ** 0.5
        return jnp.einsum("bhqk,bkhc->bqhc", jax.nn.softmax(logits), v)
    return jax.nn.dot_product_attention(q, k, v)


def self_attention(qkv: Image, num_heads: int) -> Image:
    """Attention among the positions of an image, [B, H, W, 3C] -> [B, H, W, C].

    Published weights order the 3C channels as (head, channel, q|k|v).
    """
    batch, height, width, channels = qkv.shape
    split = qkv.reshape(batch, height * width, num_heads, channels // (3 * num_heads), 3)
    return attention(split[..., 0], split[..., 1], split[..., 2]).reshape(batch, height, width, channels // 3)
