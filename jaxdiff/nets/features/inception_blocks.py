"""The blocks of InceptionV3 as the graph of the FID literature has them, by the names of its PyTorch form."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.types import Image

EPS = 1e-3
"""Added to the variances."""
Pool = Callable[[Image], Image]

average: Pool = partial(
    nn.avg_pool, window_shape=(3, 3), strides=(1, 1), padding=((1, 1), (1, 1)), count_include_pad=False
)
"""Mean over the 3x3 neighbours that lie in the image, as TensorFlow has it; torchvision counts zeros outside too."""
largest: Pool = partial(nn.max_pool, window_shape=(3, 3), strides=(1, 1), padding=((1, 1), (1, 1)))
shrink: Pool = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))


class Standardise(nn.Module):
    """scale (x - mean) / sqrt(var + 1e-3) + bias: batch norm in inference, whose statistics are fixed parameters.

    Call: norm.apply(params, x [B, H, W, C]) -> [B, H, W, C].
    Reference: Ioffe & Szegedy 2015, Alg. 2.
    Example:
      >>> y, _ = Standardise().init_with_output(jax.random.key(0), jnp.ones((1, 1, 1, 2)))
      >>> y.ravel().round(3).tolist()  # 1 / sqrt(1.001)
      [1.0, 1.0]
    """

    @nn.compact
    def __call__(self, x: Image) -> Image:
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        starts = {"scale": ones, "bias": zeros, "mean": zeros, "var": ones}
        scale, bias, mean, var = (self.param(name, init, x.shape[-1:]) for name, init in starts.items())
        factor = scale * jax.lax.rsqrt(var + EPS)
        factor, shift = factor.astype(x.dtype), (bias - mean * factor).astype(x.dtype)
        return x * factor[None, None, None] + shift[None, None, None]


class Unit(nn.Module):
    """Convolution without bias, batch norm in inference, ReLU.

    Attributes:
      features, kernel, stride, padding: of the convolution.
      precision: of the convolution; accelerators round float32 to fewer bits by default.
      dtype: type of computation; parameters are float32.
    Call: unit.apply(params, x [B, H, W, C]) -> [B, H', W', features].
    Reference: Szegedy et al. 2016.
    Example:
      >>> unit, key = Unit(5, (3, 3), stride=2, padding="VALID"), jax.random.key(0)
      >>> jax.eval_shape(unit.init_with_output, key, jnp.zeros((1, 9, 9, 2)))[0].shape
      (1, 4, 4, 5)
    """

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"
    precision: Any = jax.lax.Precision.HIGHEST
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Image:
        conv = nn.Conv(
            self.features, self.kernel, self.stride, self.padding, use_bias=False, precision=self.precision,
            dtype=self.dtype, name="conv",
        )  # fmt: skip
        return nn.relu(Standardise(name="bn")(conv(x)))


class Block(nn.Module):
    """Branches on one image, their channels concatenated in order.

    Attributes:
      branches: each a sequence of steps: (name, width, kernel) for a `Unit` with stride 1, (name, width) for one that
        leaves an image of half the size without padding, a pooling, or a tuple of steps that are taken in parallel.
      precision, dtype: as `Unit`.
    Call: block.apply(params, x [B, H, W, C]) -> [B, H', W', sum of the branches' widths].
    Reference: Szegedy et al. 2016, Figures 5 to 7.
    Example:
      >>> block, key = Block(BLOCKS["Mixed_5b"]), jax.random.key(0)
      >>> jax.eval_shape(block.init_with_output, key, jnp.zeros((1, 35, 35, 192)))[0].shape
      (1, 35, 35, 256)
    """

    branches: Sequence[Any]
    precision: Any = jax.lax.Precision.HIGHEST
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Image:
        def take(x: Image, step: Any) -> Image:
            if callable(step):
                return step(x)
            if not isinstance(step[0], str):
                return jnp.concatenate([take(x, part) for part in step], axis=-1)
            name, width, *kernel = step
            unit = partial(Unit, width, precision=self.precision, dtype=self.dtype, name=name)
            return (unit(kernel[0]) if kernel else unit((3, 3), 2, "VALID"))(x)

        outputs = []
        for branch in self.branches:
            y = x
            for step in branch:
                y = take(y, step)
            outputs.append(y)
        return jnp.concatenate(outputs, axis=-1)


def _pooled(pool: Pool, width: int) -> tuple[Any, ...]:
    return (pool, ("branch_pool", width, (1, 1)))


def _block_a(pool_width: int) -> tuple[Any, ...]:
    """Branches of Mixed_5b, 5c and 5d: 224 + pool_width channels (Szegedy et al. 2016, Figure 5)."""
    return (
        (("branch1x1", 64, (1, 1)),),
        (("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))),
        (("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96, (3, 3))),
        _pooled(average, pool_width),
    )


def _block_b() -> tuple[Any, ...]:
    """Branches of Mixed_6a, which halves the size: 480 channels more."""
    return (
        (("branch3x3", 384),),
        (("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96)),
        (shrink,),
    )


def _block_c(width: int) -> tuple[Any, ...]:
    """Branches of Mixed_6b to 6e: 768 channels; 7x7 convolutions as 1x7 and 7x1 (Figure 6)."""
    double = [((7, 1), width), ((1, 7), width), ((7, 1), width), ((1, 7), 192)]
    return (
        (("branch1x1", 192, (1, 1)),),
        (("branch7x7_1", width, (1, 1)), ("branch7x7_2", width, (1, 7)), ("branch7x7_3", 192, (7, 1))),
        (
            ("branch7x7dbl_1", width, (1, 1)),
            *((f"branch7x7dbl_{k}", w, kernel) for k, (kernel, w) in enumerate(double, start=2)),
        ),
        _pooled(average, 192),
    )


def _block_d() -> tuple[Any, ...]:
    """Branches of Mixed_7a, which halves the size: 512 channels more."""
    return (
        (("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320)),
        (
            ("branch7x7x3_1", 192, (1, 1)),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
            ("branch7x7x3_4", 192),
        ),
        (shrink,),
    )


def _block_e(pool: Pool) -> tuple[Any, ...]:
    """Branches of Mixed_7b and 7c: 2048 channels (Figure 7). The FID's graph takes the maximum in the last one."""

    def fork(name: str) -> tuple[Any, ...]:
        return ((f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1)))

    return (
        (("branch1x1", 320, (1, 1)),),
        (("branch3x3_1", 384, (1, 1)), fork("branch3x3_2")),
        (("branch3x3dbl_1", 448, (1, 1)), ("branch3x3dbl_2", 384, (3, 3)), fork("branch3x3dbl_3")),
        _pooled(pool, 192),
    )


BLOCKS = {
    "Mixed_5b": _block_a(32), "Mixed_5c": _block_a(64), "Mixed_5d": _block_a(64), "Mixed_6a": _block_b(),
    "Mixed_6b": _block_c(128), "Mixed_6c": _block_c(160), "Mixed_6d": _block_c(160), "Mixed_6e": _block_c(192),
    "Mixed_7a": _block_d(), "Mixed_7b": _block_e(average), "Mixed_7c": _block_e(largest),
}  # fmt: skip
"""Branches of each block, by the names of the published weights."""
