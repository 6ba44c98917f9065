"""The blocks of improved DDPM's and ADM's own U-Net. Their parts bear the names of the published weights."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.attention import attention
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.initialisers import Init, bounded_uniform, kaiming_uniform
from jaxdiff.nets.resampling import Resample, resample
from jaxdiff.types import Array, Image

DEFAULT: Init = kaiming_uniform(3**-0.5)
"""U(-1, 1) / sqrt(fan_in), the framework's default, as are the biases."""
ZERO: Init = nn.initializers.zeros


def norm32(name: str, dtype: Any) -> nn.GroupNorm:
    """Make a group norm of 32 groups, with statistics in float32 or better.

    Args:
      name: of the layer; dtype: type of the result.
    Reference: Dhariwal & Nichol 2021, the authors' code.
    Example:
      >>> norm32("norm", None).num_groups
      32
    """
    return nn.GroupNorm(num_groups=32, epsilon=1e-5, dtype=dtype, name=name)


def dense(features: int, fan_in: int, name: str, dtype: Any) -> nn.Dense:
    """Make a matrix and a bias that start in U(-1, 1) / sqrt(fan_in), the framework's default.

    Args:
      features, fan_in: channels out and in; name: of the layer; dtype: type of computation.
    Example:
      >>> dense(5, 4, "qkv", None).features
      5
    """
    return nn.Dense(features, kernel_init=DEFAULT, bias_init=bounded_uniform(fan_in**-0.5), dtype=dtype, name=name)


class ResBlock(nn.Module):
    """norm, SiLU, conv; + embedding, or norm scaled and shifted by it; SiLU, dropout, conv; + skip.

    Attributes:
      features: output channels.
      direction: "up" or "down" resamples both branches, after the first norm and SiLU, by nearest neighbours or means.
      adaptive_scale: the embedding scales and shifts the second norm (adaptive group norm) instead of being added.
      dropout: probability that an activation is dropped.
      dtype: type of computation; parameters are float32.
      spatial_skip: where the channels change, the skip is a 3x3 convolution instead of a 1x1 (the authors' use_conv).
    Call: block.apply(params, x [B, H, W, C], emb [B or 1, E], train) -> [B, H', W', features].
    Reference: Nichol & Dhariwal 2021, Appendix A; Dhariwal & Nichol 2021, section 3.1.
    Example:
      >>> import jax
      >>> block, x, emb = ResBlock(64, "down"), jnp.zeros((2, 4, 4, 32)), jnp.zeros((2, 8))
      >>> jax.eval_shape(block.init_with_output, jax.random.key(0), x, emb)[0].shape
      (2, 2, 2, 64)
    """

    features: int
    direction: Resample = None
    adaptive_scale: bool = True
    dropout: float = 0.0
    dtype: Any = None
    spatial_skip: bool = False

    @nn.compact
    def __call__(self, x: Image, emb: Array, train: bool = False) -> Image:
        h = nn.silu(norm32("in_layers_0", self.dtype)(x))
        if self.direction:
            h, x = resample(h, (1, 1), self.direction), resample(x, (1, 1), self.direction)
        h = Conv(self.features, 3, kernel_init=DEFAULT, bias_scale=1.0, dtype=self.dtype, name="in_layers_2")(h)
        width = self.features * (2 if self.adaptive_scale else 1)
        affine = dense(width, emb.shape[-1], "emb_layers_1", self.dtype)(nn.silu(emb))[:, None, None]
        norm = norm32("out_layers_0", self.dtype)
        if self.adaptive_scale:
            scale, shift = jnp.split(affine, 2, axis=-1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + affine)
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(h))
        h = Conv(self.features, 3, kernel_init=ZERO, dtype=self.dtype, name="out_layers_3")(h)
        if x.shape[-1] != self.features:
            skip = Conv(
                self.features, 3 if self.spatial_skip else 1, kernel_init=DEFAULT, bias_scale=1.0, dtype=self.dtype,
                name="skip_connection",
            )  # fmt: skip
            x = skip(x)
        return x + h


class SelfAttention(nn.Module):
    """x + projected attention over all positions.

    Attributes:
      num_heads: divides the channels.
      new_order: the 3C outputs of qkv are ordered (q|k|v, head, channel); else (head, q|k|v, channel).
    Call: block.apply(params, x [B, H, W, C]) -> [B, H, W, C].
    Raises: ValueError when the heads do not divide the channels.
    Reference: Dhariwal & Nichol 2021, section 3.
    Example:
      >>> import jax
      >>> block, key = SelfAttention(num_heads=2), jax.random.key(0)
      >>> jax.eval_shape(block.init_with_output, key, jnp.zeros((2, 4, 4, 32)))[0].shape
      (2, 4, 4, 32)
    """

    num_heads: int
    new_order: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Image:
        batch, height, width, channels = x.shape
        if self.num_heads < 1 or channels % self.num_heads:
            raise ValueError(f"attention cannot split {channels} channels into {self.num_heads} heads")
        h = norm32("norm", self.dtype)(x).reshape(batch, height * width, channels)
        h = split_attention(dense(3 * channels, channels, "qkv", self.dtype)(h), self.num_heads, self.new_order)
        h = nn.Dense(channels, kernel_init=ZERO, dtype=self.dtype, name="proj_out")(h)
        return x + h.reshape(x.shape)


def split_attention(qkv: Array, num_heads: int, new_order: bool) -> Array:
    """Attend with queries, keys and values that lie in one array, in either order.

    Args:
      qkv: [B, N, 3C].
      num_heads: divides C.
      new_order: the 3C channels are ordered (q|k|v, head, channel); else (head, q|k|v, channel).
    Returns: [B, N, C].
    Reference: Dhariwal & Nichol 2021, the authors' code.
    Example:
      >>> v = jnp.array([[[0.0, 0.0, 1.0], [0.0, 0.0, 3.0]]])
      >>> split_attention(v, num_heads=1, new_order=True).ravel().tolist()  # equal logits: the mean
      [2.0, 2.0]
    """
    batch, positions, width = qkv.shape
    head = width // (3 * num_heads)
    if new_order:
        q, k, v = jnp.moveaxis(qkv.reshape(batch, positions, 3, num_heads, head), 2, 0)
    else:
        q, k, v = jnp.moveaxis(qkv.reshape(batch, positions, num_heads, 3, head), 3, 0)
    return attention(q, k, v).reshape(batch, positions, width // 3)


class Downsample(nn.Module):
    """Half the resolution: a 3x3 convolution of stride 2, or means of 2x2.

    Attributes:
      conv: whether it convolves.
      dtype: type of computation; parameters are float32.
    Call: layer.apply(params, x [B, H, W, C]) -> [B, H/2, W/2, C].
    Example:
      >>> Downsample(conv=False).apply({}, jnp.arange(4.0).reshape(1, 2, 2, 1)).ravel().tolist()
      [1.5]
    """

    conv: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Image:
        if not self.conv:
            return resample(x, (1, 1), "down")
        features, fan_in = x.shape[-1], 9 * x.shape[-1]
        convolution = nn.Conv(
            features, (3, 3), (2, 2), padding=1, dtype=self.dtype, kernel_init=DEFAULT,
            bias_init=bounded_uniform(fan_in**-0.5), name="op",
        )  # fmt: skip
        return convolution(x)


class Upsample(nn.Module):
    """Double the resolution by nearest neighbours, then a 3x3 convolution or nothing.

    Attributes:
      conv: whether it convolves.
      dtype: type of computation; parameters are float32.
    Call: layer.apply(params, x [B, H, W, C]) -> [B, 2H, 2W, C].
    Example:
      >>> Upsample(conv=False).apply({}, jnp.ones((1, 1, 1, 1))).ravel().tolist()
      [1.0, 1.0, 1.0, 1.0]
    """

    conv: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Image:
        x = resample(x, (1, 1), "up")
        if not self.conv:
            return x
        return Conv(x.shape[-1], 3, kernel_init=DEFAULT, bias_scale=1.0, dtype=self.dtype, name="conv")(x)
