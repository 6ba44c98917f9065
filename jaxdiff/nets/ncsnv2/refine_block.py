"""The blocks of RefineNet's decoder, which fuse features of several resolutions, as NCSNv2 and NCSN have them."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxdiff.nets.layers import Nonlinearity, activation
from jaxdiff.nets.ncsnv2.blocks import InstanceNormPlus, conv
from jaxdiff.types import Array, Image

Norm = Callable[..., "InstanceNormPlus"]
"""norm(name=...), called with an image and the level [B]."""


class RefineBlock(nn.Module):
    """Residual convolutions on every input, their fusion at one resolution, chained pooling, residual convolutions.

    Attributes:
      features: output channels; those of the input, where there is only one.
      num_outputs: residual units behind the pooling.
      half_pixel: how the fusion resizes, see `resize`.
      dtype: type of computation; nonlinearity: the activation.
      norm: makes the norms of NCSN before every convolution, called with an image and the level; NCSNv2 has none.
    Call: block.apply(params, xs, size, level): xs images [B, H_i, W_i, C_i], size (H, W) -> [B, H, W, features].
    Reference: Lin et al. 2017 (RefineNet), Figure 3; Song & Ermon 2020, Appendix B.
    Example:
      >>> import jax
      >>> block, xs = RefineBlock(5), [jnp.zeros((1, 4, 4, 3)), jnp.zeros((1, 2, 2, 6))]
      >>> jax.eval_shape(lambda: block.init_with_output(jax.random.key(0), xs, (4, 4)))[0].shape
      (1, 4, 4, 5)
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
    """RCU: so many times x + conv(act(conv(act(x)))), without biases.

    Attributes:
      num_blocks: how many.
      dtype, nonlinearity, norm: as `RefineBlock`.
    Call: block.apply(params, x [B, H, W, C], level) -> [B, H, W, C].
    Reference: Lin et al. 2017 (RefineNet), Figure 3(b).
    Example:
      >>> import jax
      >>> jax.eval_shape(ResidualConvs(2).init_with_output, jax.random.key(0), jnp.zeros((1, 4, 4, 2)))[0].shape
      (1, 4, 4, 2)
    """

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
    """MSF: the sum of all inputs, each convolved to the same width and resized.

    Attributes:
      features: output channels.
      half_pixel, dtype, norm: as `RefineBlock`.
    Call: block.apply(params, xs, size, level): xs images [B, H_i, W_i, C_i], size (H, W) -> [B, H, W, features].
    Reference: Lin et al. 2017 (RefineNet), Figure 3(c).
    Example:
      >>> import jax
      >>> xs = [jnp.zeros((1, 4, 4, 3)), jnp.zeros((1, 2, 2, 6))]
      >>> jax.eval_shape(lambda: Fusion(5).init_with_output(jax.random.key(0), xs, (4, 4)))[0].shape
      (1, 4, 4, 5)
    """

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
    """CRP: act(x) plus its maximum over 5x5, convolved without bias, plus the same again of that; NCSN takes means.

    Attributes:
      dtype, nonlinearity, norm: as `RefineBlock`.
    Call: block.apply(params, x [B, H, W, C], level) -> [B, H, W, C].
    Reference: Lin et al. 2017 (RefineNet), Figure 3(d).
    Example:
      >>> import jax
      >>> jax.eval_shape(ChainedPooling().init_with_output, jax.random.key(0), jnp.zeros((1, 8, 8, 2)))[0].shape
      (1, 8, 8, 2)
    """

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
    """Interpolate bilinearly to size (H, W), where it is larger.

    Args:
      x: [B, h, w, C].
      size: (H, W).
      half_pixel: pixels are cells, whose outer borders coincide; else they are points, whose corners coincide.
    Returns: [B, H, W, C].
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
