"""The encoder's blocks of NCSNv2's RefineNet, and of NCSN's, whose norms are conditioned on the level.

Their parts bear the names of the published weights.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.initialisers import bounded_uniform, kaiming_uniform
from jaxdiff.nets.layers import Nonlinearity, activation
from jaxdiff.nets.resampling import resample
from jaxdiff.types import Array, Image

AROUND_ONE = lambda key, shape, dtype=jnp.float32: 1 + 0.02 * jax.random.normal(key, shape, dtype)  # noqa: E731
"""N(1, 0.02^2)."""


def _ones_ones_zeros(key: Array, shape: tuple[int, int]) -> Array:
    """Gamma and alpha, N(1, 0.02^2), and beta, 0, for each level: [levels, 3 channels]."""
    levels, width = shape
    return jnp.concatenate([AROUND_ONE(key, (levels, 2 * width // 3)), jnp.zeros((levels, width // 3))], axis=1)


def conv(
    x: Image, features: int, name: str, dtype: Any, kernel: int = 3, dilation: int = 1, bias: bool = True
) -> Image:
    """Convolve and keep the resolution, with a layer, made inside the block that calls, in U(-1, 1) / sqrt(fan_in).

    Args:
      x: [B, H, W, C].
      features: channels of the result; name: of the layer; dtype: type of computation.
      kernel: odd size; dilation: pixels that it reads are that far apart; bias: whether there is one.
    Returns: [B, H, W, features].
    Example:
      >>> class Net(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return conv(x, 5, "conv", None)
      >>> jax.eval_shape(Net().init_with_output, jax.random.key(0), jnp.zeros((1, 4, 4, 2)))[0].shape
      (1, 4, 4, 5)
    """
    bound = (kernel**2 * x.shape[-1]) ** -0.5
    layer = nn.Conv(
        features, (kernel, kernel), padding="SAME", kernel_dilation=dilation, use_bias=bias, dtype=dtype,
        kernel_init=kaiming_uniform(3**-0.5), bias_init=bounded_uniform(bound), name=name,
    )  # fmt: skip
    return layer(x)


class InstanceNormPlus(nn.Module):
    """gamma * ((x - mu) / sqrt(var + e) + alpha * (mu - m) / sqrt(v + e)) + beta, e = 1e-5.

    mu and var are the mean and variance of a channel over its pixels, m and v those of mu over the channels: instance
    norm forgets mu, the second term brings it back.

    Attributes:
      population_variance: v divides by the number of channels C, instead of C - 1.
      dtype: of the result; statistics are taken in float32 or better.
      num_levels: gamma, alpha and beta come from a table with so many entries, one of each level; 0 for one of all.
    Call: norm.apply(params, x [B, H, W, C], level [B] or None) -> [B, H, W, C].
    Raises: ValueError where a level is missing, or is one too many.
    Reference: Song & Ermon 2019, Appendix A; here gamma multiplies both terms, as in the published code.
    Example:
      >>> norm, key = InstanceNormPlus(), jax.random.key(0)
      >>> norm.init_with_output(key, jnp.ones((1, 2, 2, 3)))[0].ravel().tolist() == [0.0] * 12
      True
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
            table = self.param("embedding", _ones_ones_zeros, (self.num_levels, 3 * channels))
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
      population_variance, dtype, num_levels: of the norms, which with num_levels are conditioned on the level.
      nonlinearity: the activation, as all blocks here.
    Call: block.apply(params, x [B, H, W, C], level [B] or None) -> [B, H', W', features].
    Reference: Song & Ermon 2019, Appendix A.
    Example:
      >>> block, key = ResidualBlock(8, down=True), jax.random.key(0)
      >>> jax.eval_shape(block.init_with_output, key, jnp.zeros((2, 4, 4, 4)))[0].shape
      (2, 2, 2, 8)
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
    """A convolution, then means of 2x2.

    Attributes:
      features: output channels; kernel: of the convolution.
      dtype: type of computation; parameters are float32.
    Call: layer.apply(params, x [B, H, W, C]) -> [B, H/2, W/2, features].
    Reference: Song & Ermon 2019, Appendix A.
    Example:
      >>> jax.eval_shape(ConvMeanPool(5, 3).init_with_output, jax.random.key(0), jnp.zeros((1, 4, 4, 2)))[0].shape
      (1, 2, 2, 5)
    """

    features: int
    kernel: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Image:
        return resample(conv(x, self.features, "conv", self.dtype, self.kernel), (1, 1), "down")
