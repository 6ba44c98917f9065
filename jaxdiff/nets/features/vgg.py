"""VGG-16 without its classifier, with the names of the published weights: what perceptual metrics look at."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxdiff.types import Image

Pool = Callable[..., Image]
"""nn.max_pool or nn.avg_pool, over 2x2."""


class VGG16(nn.Module):
    """Activations after the last ReLU of each of five resolutions: conv1_2, conv2_2, conv3_3, conv4_3, conv5_3.

    Attributes:
      widths: channels at each resolution; the paper's are the default.
      depths: convolutions at each resolution, 3x3 and zero-padded.
      pool: halves the resolution, rounded down. The published weights were trained with the maximum; perceptual losses
        also take the mean, whose gradient is smoother (Gatys et al. 2016).
      precision: of the convolutions; accelerators round float32 to fewer bits by default, which distances would show.
      dtype: type of computation; parameters are float32.

    Call: net.apply(params, x [B, H, W, 3], standardised, H and W >= 16) -> a list of [B, H >> k, W >> k, widths[k]].
    Raises: ValueError when x has another shape, before anything is compiled.
    Reference: Simonyan & Zisserman 2015, Table 1, column D. "features.N" counts convolutions, ReLUs and poolings.
    Example:
      >>> import jax.numpy as jnp
      >>> net = VGG16(widths=(2, 2, 3, 3, 4))
      >>> outputs, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), jnp.zeros((1, 40, 32, 3)))
      >>> [a.shape for a in outputs][::2]
      [(1, 40, 32, 2), (1, 10, 8, 3), (1, 2, 2, 4)]
    """

    widths: Sequence[int] = (64, 128, 256, 512, 512)
    depths: Sequence[int] = (2, 2, 3, 3, 3)
    pool: Pool = nn.max_pool
    precision: Any = jax.lax.Precision.HIGHEST
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> list[Image]:
        least = 2 ** (len(self.widths) - 1)
        if x.ndim != 4 or x.shape[3] != 3 or min(x.shape[1:3]) < least:
            raise ValueError(f"x must be [B, H, W, 3] with H and W of {least} or more, got {list(x.shape)}")
        outputs: list[Image] = []
        index = 0
        for width, depth in zip(self.widths, self.depths, strict=True):
            if outputs:
                x, index = self.pool(x, (2, 2), strides=(2, 2)), index + 1
            for _ in range(depth):
                conv = nn.Conv(
                    width, (3, 3), padding=1, dtype=self.dtype, precision=self.precision, name=f"features_{index}"
                )
                x, index = nn.relu(conv(x)), index + 2
            outputs.append(x)
        return outputs
