"""How a latent enters the generator of a denoising diffusion GAN: the mapping network and adaptive group norm."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.layers import Conv, Image, Init, Resample, group_norm, scaled, self_attention, xavier_uniform
from jaxdiff.types import Array, Float

EPS = 1e-6
"""Of every norm over a group of channels."""
FAN_OUT: Init = scaled(jax.nn.initializers.variance_scaling(1.0, "fan_out", "uniform"), 1.0)
"""U(-b, b), b = sqrt(3 / fan_out): what the authors' layers start from where theirs are not NCSN++'s."""
NEAR_ZERO: Init = xavier_uniform(1e-5)


def scale_one_shift_zero(key: Array, shape: Sequence[int], dtype: Any = jnp.float32, **kwargs: Any) -> Array:
    """A bias whose first half, the scales, is 1 and whose second half, the shifts, is 0."""
    return jnp.concatenate([jnp.ones(shape[0] // 2, dtype), jnp.zeros(shape[0] // 2, dtype)])


def normalise(z: Float[Array, "B Z"]) -> Float[Array, "B Z"]:
    """z / sqrt(mean(z^2) + 1e-8), the mean over the features of one latent.

    Reference: Karras et al. 2018 (progressive GAN), 4.2, "pixel norm".
    Example:
      >>> normalise(jnp.array([[3.0, -3.0]])).round(4).tolist()
      [[1.0, -1.0]]
    """
    return z / jnp.sqrt(jnp.mean(z**2, axis=1, keepdims=True) + 1e-8)


class LatentMap(nn.Module):
    """A normalised latent [B, Z] through layers + 1 times (linear, SiLU) to [B, features].

    Reference: Xiao et al. 2022, Appendix C.1, after Karras et al. 2019 (StyleGAN).
    """

    features: int
    layers: int
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"]) -> Float[Array, "B C"]:
        z = normalise(z)
        for index in range(self.layers + 1):
            z = nn.silu(nn.Dense(self.features, kernel_init=FAN_OUT, dtype=self.dtype, name=f"layer{index}")(z))
        return z


class AdaptiveGroupNorm(nn.Module):
    """scale(z) * norm(x) + shift(z), with as many groups as `group_norm` makes.

    The bias of the affine map starts at 1 for scales and at 0 for shifts; there is no other 1.
    Reference: Xiao et al. 2022, Appendix C.1.
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

    Called with x and (latent [B, Z], embedding of time [B or 1, E] or None for a block that is not told the time).

    Attributes:
      features: output channels.
      direction: "up" or "down" for a block that changes the resolution, as BigGAN's; DDPM's do not.
      num_heads: 0 for no attention.
      skip_scale: factor on every residual sum.
      skip_kernel: of the convolution on a skip of another width or resolution.
      adaptive_norms: 2; or 1, which leaves the second norm an ordinary one. ValueError for others.
      group_channels: a group of norm has at least so many channels, as long as there are 32 groups or fewer.
    Reference: Xiao et al. 2022, Appendix C.1; Song et al. 2021, Appendix H, for what surrounds the norms and for how
      parameters start: Xavier uniform, 1e-5 of it before every sum.
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
    def __call__(self, x: Image, told: tuple[Array, Array | None], train: bool = False) -> Image:
        if self.adaptive_norms not in (1, 2):
            raise ValueError(f"adaptive_norms must be 1 or 2, got {self.adaptive_norms}")
        z, time = told
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
            x = attend(x, self.num_heads, self.skip_scale, self.dtype, self.group_channels)
        return x


class OneNormBlock(LatentBlock):
    """A `LatentBlock` whose second norm does not see the latent."""

    adaptive_norms: int = 1


def attend(x: Image, num_heads: int, skip_scale: float, dtype: Any, group_channels: int = 4) -> Image:
    """skip_scale * (x + projected attention among the positions of norm(x)), as NCSN++."""
    h = group_norm(x.shape[-1], EPS, dtype, "norm2", group_channels)(x)
    h = Conv(3 * x.shape[-1], 1, kernel_init=xavier_uniform(0.2**0.5), dtype=dtype, name="qkv")(h)
    proj = Conv(x.shape[-1], 1, kernel_init=NEAR_ZERO, dtype=dtype, name="proj")
    return skip_scale * (x + proj(self_attention(h, num_heads)))
