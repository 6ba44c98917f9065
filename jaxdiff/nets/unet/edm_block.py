"""The residual block of EDM's U-Nets, which serves DDPM++, NCSN++ and ADM."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.attention import self_attention
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.initialisers import Init, bounded_uniform, xavier_uniform
from jaxdiff.nets.layers import Nonlinearity, activation, group_norm
from jaxdiff.nets.resampling import Resample
from jaxdiff.types import Array, Image


class UNetBlock(nn.Module):
    """norm, activation, conv, + embedding, norm, activation, dropout, conv, + skip, then attention.

    Attributes:
      features: output channels.
      direction: "up" or "down" for a block that changes the resolution.
      taps: the resampling filter, in the orientation of `resample`.
      num_heads: 0 for no attention.
      dropout: probability that an activation is dropped.
      skip_scale: factor on every residual sum, sqrt(1/2) in DDPM++ and NCSN++.
      eps: added to the variances of the norms.
      group_channels: a group of norm has at least so many channels, as long as there are 32 groups or fewer.
      adaptive_scale: the embedding scales and shifts the second norm (ADM) instead of being added (DDPM++).
      resample_proj: a 1x1 convolution on the skip of a block that changes the resolution.
      kernel_init, zero_init, attn_init: of hidden layers, of layers that start near zero, of queries, keys and values.
      bias_scale: biases start in U(-b, b), b = bias_scale / sqrt(fan_in), but for layers that start near zero.
      nonlinearity: the activation.
      dtype: type of computation; parameters are float32.
    Call: block.apply(params, x [B, H, W, C], emb [B or 1, E] or None, train) -> [B, H', W', features].
    Raises: ValueError when the heads do not divide the features.
    Reference: Karras et al. 2022, Appendix F.1; Song et al. 2021, Appendix H; Dhariwal & Nichol 2021, section 3.
    Example:
      >>> import jax
      >>> block, x, emb = UNetBlock(16, "down"), jnp.zeros((2, 4, 4, 8)), jnp.zeros((2, 3))
      >>> jax.eval_shape(block.init_with_output, jax.random.key(0), x, emb)[0].shape
      (2, 2, 2, 16)
    """

    features: int
    direction: Resample = None
    taps: Sequence[float] = (1, 1)
    num_heads: int = 0
    dropout: float = 0.0
    skip_scale: float = 1.0
    eps: float = 1e-5
    group_channels: int = 4
    adaptive_scale: bool = True
    resample_proj: bool = False
    kernel_init: Init = xavier_uniform()
    zero_init: Init = xavier_uniform(0.0)
    attn_init: Init | None = None
    bias_scale: float = 0.0
    nonlinearity: Nonlinearity = "swish"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image, emb: Array | None, train: bool = False) -> Image:
        if self.num_heads and self.features % self.num_heads:
            raise ValueError(f"attention cannot split {self.features} features into {self.num_heads} heads")
        conv = lambda kernel, init, **kwargs: Conv(self.features, kernel, kernel_init=init, dtype=self.dtype, **kwargs)  # noqa: E731
        resampled = {"direction": self.direction, "taps": self.taps, "bias_scale": self.bias_scale}
        group = partial(group_norm, eps=self.eps, dtype=self.dtype, least=self.group_channels)
        skip = x
        if x.shape[-1] != self.features or self.direction:
            kernel = 1 if self.resample_proj or x.shape[-1] != self.features else 0
            skip = conv(kernel, self.kernel_init, name="skip", **resampled)(x)
        activate = activation(self.nonlinearity)
        h = activate(group(x.shape[-1], name="norm0")(x))
        h = conv(3, self.kernel_init, name="conv0", **resampled)(h)
        norm = group(self.features, name="norm1")
        if emb is None:
            h = norm(h)
        else:
            width = self.features * (2 if self.adaptive_scale else 1)
            bias = bounded_uniform(self.bias_scale / emb.shape[-1] ** 0.5)
            affine = nn.Dense(width, kernel_init=self.kernel_init, bias_init=bias, dtype=self.dtype, name="affine")
            params = affine(emb)[:, None, None]
            if self.adaptive_scale:
                scale, shift = jnp.split(params, 2, axis=-1)
                h = shift + norm(h) * (scale + 1)
            else:
                h = norm(h + params)
        h = activate(h)
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        x = self.skip_scale * (skip + conv(3, self.zero_init, name="conv1")(h))
        if self.num_heads:
            init = self.attn_init or self.kernel_init
            norm, proj = group(self.features, name="norm2"), conv(1, self.zero_init, name="proj")
            bias_scale = self.bias_scale
            qkv = Conv(3 * self.features, 1, kernel_init=init, bias_scale=bias_scale, dtype=self.dtype, name="qkv")
            x = self.skip_scale * (x + proj(self_attention(qkv(norm(x)), self.num_heads)))
        return x
