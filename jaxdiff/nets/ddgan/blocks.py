"""How a latent enters the generator of a denoising diffusion GAN: the mapping network and adaptive group norm."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.attention import self_attention
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.initialisers import Init, scaled, xavier_uniform
from jaxdiff.nets.layers import group_norm
from jaxdiff.nets.resampling import Resample
from jaxdiff.types import Array, Float, Image

EPS = 1e-6
"""Of every norm over a group of channels."""
FAN_OUT: Init = scaled(jax.nn.initializers.variance_scaling(1.0, "fan_out", "uniform"), 1.0)  # float32 under x64
"""U(-b, b), b = sqrt(3 / fan_out): what the authors' layers start from where theirs are not NCSN++'s."""
NEAR_ZERO: Init = xavier_uniform(1e-5)


def scale_one_shift_zero(key: Array, shape: Sequence[int], dtype: Any = jnp.float32, **kwargs: Any) -> Array:
    """Return a bias whose first half, the scales, is 1 and whose second half, the shifts, is 0.

    Args:
      key: not used, as an initialiser that is a constant; shape: [2C]; dtype: of the result.
    Example:
      >>> scale_one_shift_zero(None, (4,)).tolist()
      [1.0, 1.0, 0.0, 0.0]
    """
    return jnp.concatenate([jnp.ones(shape[0] // 2, dtype), jnp.zeros(shape[0] // 2, dtype)])


def pixel_norm(z: Float[Array, "B Z"]) -> Float[Array, "B Z"]:
    """Normalise each latent to mean square one: z / sqrt(mean(z^2) + 1e-8).

    Reference: Karras et al. 2018 (progressive GAN), 4.2, "pixel norm".
    Example:
      >>> pixel_norm(jnp.array([[3.0, -3.0]])).round(4).tolist()
      [[1.0, -1.0]]
    """
    return z / jnp.sqrt(jnp.mean(z**2, axis=1, keepdims=True) + 1e-8)


class LatentMap(nn.Module):
    """A normalised latent through layers + 1 times (linear, SiLU): the mapping network of StyleGAN.

    Attributes:
      features: of every layer; layers: hidden ones.
      dtype: type of computation; parameters are float32.
    Call: net.apply(params, z [B, Z]) -> [B, features].
    Reference: Xiao et al. 2022, Appendix C.1, after Karras et al. 2019 (StyleGAN).
    Example:
      >>> net, key = LatentMap(features=8, layers=3), jax.random.key(0)
      >>> jax.eval_shape(net.init_with_output, key, jnp.zeros((2, 5)))[0].shape
      (2, 8)
    """

    features: int
    layers: int
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"]) -> Float[Array, "B C"]:
        z = pixel_norm(z)
        for index in range(self.layers + 1):
            z = nn.silu(nn.Dense(self.features, kernel_init=FAN_OUT, dtype=self.dtype, name=f"layer{index}")(z))
        return z


class AdaptiveGroupNorm(nn.Module):
    """scale(z) * norm(x) + shift(z), with as many groups as `group_norm` makes.

    The bias of the affine map starts at 1 for scales and at 0 for shifts; there is no other 1.
    Attributes:
      group_channels: a group has at least so many channels, as long as there are 32 groups or fewer.
      dtype: type of computation; parameters are float32.
    Call: norm.apply(params, x [B, H, W, C], z [B, Z]) -> [B, H, W, C].
    Reference: Xiao et al. 2022, Appendix C.1.
    Example:
      >>> norm, key = AdaptiveGroupNorm(), jax.random.key(0)
      >>> jax.eval_shape(norm.init_with_output, key, jnp.zeros((2, 4, 4, 8)), jnp.zeros((2, 3)))[0].shape
      (2, 4, 4, 8)
    """

    group_channels: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image, z: Float[Array, "B Z"]) -> Image:
        channels = x.shape[-1]
        groups = min(32, channels // self.group_channels)
        norm = nn.GroupNorm(groups, epsilon=EPS, use_scale=False, use_bias=False, dtype=self.dtype, name="norm")
        style = nn.Dense(
            2 * channels, kernel_init=FAN_OUT, bias_init=scale_one_shift_zero, dtype=self.dtype, name="style"
        )
        scale, shift = jnp.split(style(z)[:, None, None], 2, axis=-1)
        return scale * norm(x) + shift


class LatentBlock(nn.Module):
    """adaptive norm, SiLU, conv, + time, adaptive norm, SiLU, dropout, conv, + skip, then attention.

    Attributes:
      features: output channels.
      direction: "up" or "down" for a block that changes the resolution, as BigGAN's; DDPM's do not.
      taps: the resampling filter, in the orientation of `resample`.
      num_heads: 0 for no attention.
      dropout: probability that an activation is dropped.
      skip_scale: factor on every residual sum.
      skip_kernel: of the convolution on a skip of another width or resolution.
      adaptive_norms: 2; or 1, which leaves the second norm an ordinary one.
      group_channels: a group of norm has at least so many channels, as long as there are 32 groups or fewer.
      dtype: type of computation; parameters are float32.
    Call: block.apply(params, x [B, H, W, C], (z [B, Z], time [B or 1, E] or None), train) -> [B, H', W', features].
    Raises: ValueError for other adaptive_norms.
    Reference: Xiao et al. 2022, Appendix C.1; Song et al. 2021, Appendix H, for what surrounds the norms and for how
      parameters start: Xavier uniform, 1e-5 of it before every sum.
    Example:
      >>> block, x, z = LatentBlock(16, direction="down"), jnp.zeros((2, 4, 4, 8)), jnp.zeros((2, 3))
      >>> jax.eval_shape(block.init_with_output, jax.random.key(0), x, (z, None))[0].shape
      (2, 2, 2, 16)
    """

    features: int
    direction: Resample = None
    taps: Sequence[float] = (1, 1)
    num_heads: int = 0
    dropout: float = 0.0
    skip_scale: float = 0.5**0.5
    skip_kernel: int = 1
    adaptive_norms: int = 2
    group_channels: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image, emb: tuple[Array, Array | None], train: bool = False) -> Image:
        if self.adaptive_norms not in (1, 2):
            raise ValueError(f"adaptive_norms must be 1 or 2, got {self.adaptive_norms}")
        z, time = emb
        conv = lambda kernel, init, name, **kwargs: Conv(  # noqa: E731
            self.features, kernel, kernel_init=init, dtype=self.dtype, name=name, **kwargs
        )
        resampled = {"direction": self.direction, "taps": self.taps}
        skip = x
        if x.shape[-1] != self.features or self.direction:
            skip = conv(self.skip_kernel, xavier_uniform(), "skip", **resampled)(x)
        h = nn.silu(AdaptiveGroupNorm(self.group_channels, self.dtype, name="norm0")(x, z))
        h = conv(3, xavier_uniform(), "conv0", **resampled)(h)
        if time is not None:
            affine = nn.Dense(self.features, kernel_init=xavier_uniform(), dtype=self.dtype, name="affine")
            h = h + affine(time)[:, None, None]
        if self.adaptive_norms == 2:
            h = AdaptiveGroupNorm(self.group_channels, self.dtype, name="norm1")(h, z)
        else:
            h = group_norm(self.features, EPS, self.dtype, "norm1", self.group_channels)(h)
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(h))
        x = self.skip_scale * (skip + conv(3, NEAR_ZERO, "conv1")(h))
        if self.num_heads:
            x = residual_attention(x, self.num_heads, self.skip_scale, self.dtype, self.group_channels)
        return x


class OneNormBlock(LatentBlock):
    """A `LatentBlock` whose second norm does not see the latent.

    Attributes, Call: as `LatentBlock`.
    Reference: Xiao et al. 2022, the authors' code, resblock_type "biggan_oneadagn".
    Example:
      >>> OneNormBlock(16).adaptive_norms
      1
    """

    adaptive_norms: int = 1


def residual_attention(x: Image, num_heads: int, skip_scale: float, dtype: Any, group_channels: int = 4) -> Image:
    """Add attention among the positions: skip_scale * (x + proj(attention(qkv(norm(x))))), as NCSN++.

    Its layers are made inside the block that calls it.
    Args:
      x: [B, H, W, C].
      num_heads: divides C.
      skip_scale: factor on the sum.
      dtype: type of computation.
      group_channels: as `LatentBlock`.
    Returns: [B, H, W, C].
    Reference: Song et al. 2021, Appendix H.
    Example:
      >>> class Net(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return residual_attention(x, 2, 0.5**0.5, None)
      >>> jax.eval_shape(Net().init_with_output, jax.random.key(0), jnp.zeros((1, 4, 4, 8)))[0].shape
      (1, 4, 4, 8)
    """
    h = group_norm(x.shape[-1], EPS, dtype, "norm2", group_channels)(x)
    h = Conv(3 * x.shape[-1], 1, kernel_init=xavier_uniform(0.2**0.5), dtype=dtype, name="qkv")(h)
    proj = Conv(x.shape[-1], 1, kernel_init=NEAR_ZERO, dtype=dtype, name="proj")
    return skip_scale * (x + proj(self_attention(h, num_heads)))
