"""The residual block of EDM's U-Nets, which serves DDPM++, NCSN++ and ADM."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.layers import Conv, Image, Init, Resample, attention, bounded, group_norm, xavier_uniform
from jaxdiff.types import Array


class UNetBlock(nn.Module):
    """norm, SiLU, conv, + embedding, norm, SiLU, dropout, conv, + skip, then attention.

    Attributes:
      features: output channels.
      direction: "up" or "down" for a block that changes the resolution.
      num_heads: 0 for no attention.
      adaptive_scale: the embedding scales and shifts the second norm (ADM) instead of being added (DDPM++).
      skip_scale: factor on every residual sum, sqrt(1/2) in DDPM++ and NCSN++.
      resample_proj: a 1x1 convolution on the skip of a block that changes the resolution.
      kernel_init, zero_init, attn_init: of hidden layers, of layers that start near zero, of queries, keys and values.
      bias_scale: biases start in U(-b, b), b = bias_scale / sqrt(fan_in), but for layers that start near zero.
    Raises: ValueError when the heads do not divide the features.
    Reference: Karras et al. 2022, Appendix F.1; Song et al. 2021, Appendix H; Dhariwal & Nichol 2021, section 3.
    """

    features: int
    direction: Resample = None
    taps: Sequence[float] = (1, 1)
    num_heads: int = 0
    dropout: float = 0.0
    skip_scale: float = 1.0
    eps: float = 1e-5
    adaptive_scale: bool = True
    resample_proj: bool = False
    kernel_init: Init = xavier_uniform()
    zero_init: Init = xavier_uniform(0.0)
    attn_init: Init | None = None
    bias_scale: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image, emb: Array, train: bool = False) -> Image:
        if self.num_heads and self.features % self.num_heads:
            raise ValueError(f"attention cannot split {self.features} features into {self.num_heads} heads")
        conv = lambda kernel, init, **kwargs: Conv(self.features, kernel, kernel_init=init, dtype=self.dtype, **kwargs)  # noqa: E731
        resampled = {"direction": self.direction, "taps": self.taps, "bias_scale": self.bias_scale}
        skip = x
        if x.shape[-1] != self.features or self.direction:
            kernel = 1 if self.resample_proj or x.shape[-1] != self.features else 0
            skip = conv(kernel, self.kernel_init, name="skip", **resampled)(x)
        h = nn.silu(group_norm(x.shape[-1], self.eps, self.dtype, "norm0")(x))
        h = conv(3, self.kernel_init, name="conv0", **resampled)(h)
        width = self.features * (2 if self.adaptive_scale else 1)
        bias = bounded(self.bias_scale / emb.shape[-1] ** 0.5)
        affine = nn.Dense(width, kernel_init=self.kernel_init, bias_init=bias, dtype=self.dtype, name="affine")
        params = affine(emb)[:, None, None]
        norm = group_norm(self.features, self.eps, self.dtype, "norm1")
        if self.adaptive_scale:
            scale, shift = jnp.split(params, 2, axis=-1)
            h = nn.silu(shift + norm(h) * (scale + 1))
        else:
            h = nn.silu(norm(h + params))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        x = self.skip_scale * (skip + conv(3, self.zero_init, name="conv1")(h))
        if self.num_heads:
            batch, height, width, channels = x.shape
            norm = group_norm(channels, self.eps, self.dtype, "norm2")
            init = self.attn_init or self.kernel_init
            qkv = Conv(3 * channels, 1, kernel_init=init, bias_scale=self.bias_scale, dtype=self.dtype, name="qkv")
            h = qkv(norm(x))
            # Published weights order the 3C outputs as (head, channel, q|k|v).
            h = h.reshape(batch, height * width, self.num_heads, channels // self.num_heads, 3)
            h = attention(h[..., 0], h[..., 1], h[..., 2]).reshape(x.shape)
            x = self.skip_scale * (x + conv(1, self.zero_init, name="proj")(h))
        return x
