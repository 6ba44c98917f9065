"""The blocks of NCSNv2's RefineNet, and of NCSN's, whose norms are told the level.

Their parts bear the names of the published weights.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.nets.layers import Image, Nonlinearity, activation, bounded, kaiming_uniform, resample
from jaxdiff.types import Array

AROUND_ONE = lambda key, shape, dtype=jnp.float32: 1 + 0.02 * jax.random.normal(key, shape, dtype)  # noqa: E731
"""N(1, 0.02^2)."""
Norm = Callable[..., "InstanceNormPlus"]
"""norm(name=...), called with an image and the level [B]."""


def ones_ones_zeros(key: Array, shape: tuple[int, int]) -> Array:
    """A row of gamma and alpha, N(1, 0.02^2), and beta, 0, for each level: [levels, 3 channels]."""
    levels, width = shape
    return jnp.concatenate([AROUND_ONE(key, (levels, 2 * width // 3)), jnp.zeros((levels, width // 3))], axis=1)


def conv(
    x: Image, features: int, name: str, dtype: Any, kernel: int = 3, dilation: int = 1, bias: bool = True
) -> Image:
    """A convolution that keeps the resolution, made inside the block that asks; starts in U(-1, 1) / sqrt(fan_in)."""
    bound = (kernel**2 * x.shape[-1]) ** -0.5
    layer = nn.Conv(
        features, (kernel, kernel), padding="SAME", kernel_dilation=dilation, use_bias=bias, dtype=dtype,
        kernel_init=kaiming_uniform(3**-0.5), bias_init=bounded(bound), name=name,
    )  # fmt: skip
    return layer(x)


class InstanceNormPlus(nn.Module):
    """gamma * ((x - mu) / sqrt(var + e) + alpha * (mu - m) / sqrt(v + e)) + beta, e = 1e-5.

    mu and var are the mean and variance of a channel over its pixels, m and v those of mu over the channels: instance
    norm forgets mu, the second term brings it back.

    Attributes:
      population_variance: v divides by the number of channels C, instead of C - 1.
      num_levels: gamma, alpha and beta are rows of a table with so many entries, one of each level; 0 for one of all.
      dtype: of the result; statistics are taken in float32 or better.
    Reference: Song & Ermon 2019, Appendix A; here gamma multiplies both terms, as in the published code.
    """

    population_variance: bool = False
    dtype: Any = None
    num_levels: int = 0

    @nn.compact
    def __call__(self, x: Image, level: Array | None = None) -> Image:
        channels = x.shape[-1]
        if (level is None) == bool(self.num_levels):
            raise ValueError(f"level must be given where a norm has num_levels, got {level} with {self.num_levels}")
        if self.num_levels:
            table = self.param("embedding", ones_ones_zeros, (self.num_levels, 3 * channels))
            gamma, alpha, beta = jnp.split(table[level][:, None, None], 3, axis=-1)
        else:
            alpha, gamma = (self.param(name, AROUND_ONE, (channels,))[None, None, None] for name in ("alpha", "gamma"))
            beta = self.param("beta", nn.initializers.zeros, (channels,), jnp.float32)[None, None, None]
        h = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mu = h.mean((1, 2), keepdims=True)
        m, v = mu.mean(-1, keepdims=True), mu.var(-1, keepdims=True, ddof=0 if self.population_variance else 1)
        within = (h - mu) / jnp.sqrt(h.var((1, 2), keepdims=True) + 1e-5)
        between = (mu - m) / jnp.sqrt(v + 1e-5)
        return (gamma * (within + alpha * between) + beta).astype(self.dtype or x.dtype)


class ResidualBlock(nn.Module):
    """norm, activation, conv, norm, activation, conv, + skip.

    Attributes:
      features: output channels.
      down: half the resolution, by means of 2x2 after the second convolution and after a 1x1 one on the skip.
      dilation: above 1, pixels that a convolution reads are that far apart; the resolution stays.
      project: a 3x3 convolution on the skip.
      nonlinearity: the activation, as all blocks here.
      num_levels: of the norms, which are then told the level.
    Reference: Song & Ermon 2019, Appendix A.
    """

    features: int
    down: bool = False
    dilation: int = 1
    project: bool = False
    population_variance: bool = False
    dtype: Any = None
    nonlinearity: Nonlinearity = "elu"
    num_levels: int = 0

    @nn.compact
    def __call__(self, x: Image, level: Array | None = None) -> Image:
        norm = partial(InstanceNormPlus, self.population_variance, self.dtype, self.num_levels)
        activate = activation(self.nonlinearity)
        h = activate(norm(name="normalize1")(x, level))
        h = conv(h, x.shape[-1], "conv1", self.dtype, dilation=self.dilation)
        h = activate(norm(name="normalize2")(h, level))
        if self.down:
            pooled = lambda kernel, name: ConvMeanPool(self.features, kernel, self.dtype, name=name)  # noqa: E731
            return pooled(1, "shortcut")(x) + pooled(3, "conv2")(h)
        if self.project:
            x = conv(x, self.features, "shortcut", self.dtype, dilation=self.dilation)
        return x + conv(h, self.features, "conv2", self.dtype, dilation=self.dilation)


class ConvMeanPool(nn.Module):
    """A convolution, then means of 2x2."""

    features: int
    kernel: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Image:
        return resample(conv(x, self.features, "conv", self.dtype, self.kernel), (1, 1), "down")


class RefineBlock(nn.Module):
    """Residual convolutions on every input, their fusion at one resolution, chained pooling, residual convolutions.

    Attributes:
      features: output channels; those of the input, where there is only one.
      num_outputs: residual units behind the pooling.
      half_pixel: how the fusion resizes, see `resize`.
      norm: makes the norms of NCSN before every convolution, called with an image and the level; NCSNv2 has none.
    Call: block.apply(params, xs, size, level): xs images [B, H_i, W_i, C_i], size (H, W) -> [B, H, W, features].
    Reference: Lin et al. 2017 (RefineNet), Figure 3; Song & Ermon 2020, Appendix B.
    """

    features: int
    num_outputs: int = 1
    half_pixel: bool = False
    dtype: Any = None
    nonlinearity: Nonlinearity = "elu"
    norm: Norm | None = None

    @nn.compact
    def __call__(self, xs: Sequence[Image], size: tuple[int, int], level: Array | None = None) -> Image:
        shared = {"dtype": self.dtype, "nonlinearity": self.nonlinearity, "norm": self.norm}
        hs = [ResidualConvs(2, **shared, name=f"adapt_convs_{i}")(x, level) for i, x in enumerate(xs)]
        fusion = Fusion(self.features, self.half_pixel, self.dtype, self.norm, name="msf")
        h = hs[0] if len(hs) == 1 else fusion(hs, size, level)
        h = ChainedPooling(**shared, name="crp")(h, level)
        return ResidualConvs(self.num_outputs, **shared, name="output_convs")(h, level)


class ResidualConvs(nn.Module):
    """RCU: so many times x + conv(act(conv(act(x)))), without biases."""

    num_blocks: int
    dtype: Any = None
    nonlinearity: Nonlinearity = "elu"
    norm: Norm | None = None

    @nn.compact
    def __call__(self, x: Image, level: Array | None = None) -> Image:
        for block in range(1, self.num_blocks + 1):
            h = x
            for stage in (1, 2):
                h = self.norm(name=f"{block}_{stage}_norm")(h, level) if self.norm else h
                h = conv(activation(self.nonlinearity)(h), x.shape[-1], f"{block}_{stage}_conv", self.dtype, bias=False)
            x = x + h
        return x


class Fusion(nn.Module):
    """MSF: the sum of all inputs, each convolved to the same width and resized."""

    features: int
    half_pixel: bool = False
    dtype: Any = None
    norm: Norm | None = None

    @nn.compact
    def __call__(self, xs: Sequence[Image], size: tuple[int, int], level: Array | None = None) -> Image:
        if self.norm:
            xs = [self.norm(name=f"norms_{i}")(x, level) for i, x in enumerate(xs)]
        hs = [conv(x, self.features, f"convs_{i}", self.dtype) for i, x in enumerate(xs)]
        return sum((resize(h, size, self.half_pixel) for h in hs[1:]), resize(hs[0], size, self.half_pixel))


class ChainedPooling(nn.Module):
    """CRP: act(x) plus its maximum over 5x5, convolved without bias, plus the same again of that; NCSN takes means."""

    dtype: Any = None
    nonlinearity: Nonlinearity = "elu"
    norm: Norm | None = None

    @nn.compact
    def __call__(self, x: Image, level: Array | None = None) -> Image:
        x = path = activation(self.nonlinearity)(x)
        for index in range(2):
            path = self.norm(name=f"norms_{index}")(path, level) if self.norm else path
            path = (nn.avg_pool if self.norm else nn.max_pool)(path, (5, 5), padding="SAME")
            path = conv(path, x.shape[-1], f"convs_{index}", self.dtype, bias=False)
            x = x + path
        return x


def resize(x: Image, size: tuple[int, int], half_pixel: bool = False) -> Image:
    """Bilinear interpolation to size (H, W), where it is larger.

    Args:
      x: [B, h, w, C].
      half_pixel: pixels are cells, whose outer borders coincide; else they are points, whose corners coincide.
    Example:
      >>> x = jnp.array([0.0, 3.0]).reshape(1, 1, 2, 1)
      >>> resize(x, (1, 4)).ravel().tolist(), resize(x, (1, 4), half_pixel=True).ravel().tolist()
      ([0.0, 1.0, 2.0, 3.0], [0.0, 0.75, 2.25, 3.0])
    """
    if x.shape[1:3] == tuple(size):
        return x
    rows, columns = (_weights(n, m, half_pixel, x.dtype) for n, m in zip(x.shape[1:3], size, strict=True))
    return jnp.einsum("Hh,Ww,bhwc->bHWc", rows, columns, x)


def _weights(n: int, m: int, half_pixel: bool, dtype: Any) -> Array:
    """[m, n]: where m new pixels lie between n old ones, 1 minus the distance."""
    index = np.arange(m)
    place = ((index + 0.5) * n / m - 0.5).clip(0, n - 1) if half_pixel else index * (n - 1) / max(m - 1, 1)
    return jnp.asarray(np.maximum(0, 1 - np.abs(place[:, None] - np.arange(n))), dtype)
