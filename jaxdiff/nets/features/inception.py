"""InceptionV3 of the FID literature: the graph "inception-2015-12-05", by whose features image models are compared."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.nets.features.inception_blocks import BLOCKS, Block, Unit, shrink
from jaxdiff.types import Array, Float, Image

SIDE = 299
"""Height and width that the network was trained for."""
LEAST = 75
"""Height and width below which nothing would be left."""
WIDTH, CLASSES = 2048, 1008

Prepare = Callable[[Array, int], Image]
"""(images [B, H, W, C] on the scale 0 .. 255, side) -> [B, side, side, C], about -1 .. 1."""


def tensorflow_input(images: Array, side: int = SIDE) -> Image:
    """Resize images as the graph does before its first convolution: TensorFlow 1's bilinear, then (x - 128) / 128.

    Output pixel i lies at i H / side of the input, its two neighbours there are blended, and the last one repeated:
    corners are not aligned, pixel centres neither. All FIDs in papers that follow Heusel et al. or EDM have this;
    pytorch-fid, which interpolates between pixel centres, gets other FIDs of small images.
    Args:
      images: [B, H, W, C], 0 .. 255, integers or floats.
      side: of the output.
    Returns: float32 or better [B, side, side, C].
    Example:
      >>> tensorflow_input(jnp.array([[[[0], [128]]]], jnp.uint8), 4)[0, 0, :, 0].tolist()
      [-1.0, -0.5, 0.0, 0.0]
    """
    return (_resized(images, side) - 128) / 128


def _resized(images: Array, side: int) -> Image:
    """Output pixel i lies at i H / side: two products with matrices of two weights a row.

    At highest precision: accelerators would round the pixels to bfloat16.
    """
    x = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    rows, columns = (jnp.asarray(_weights(size, side), x.dtype) for size in x.shape[1:3])
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns, precision=jax.lax.Precision.HIGHEST)


def _weights(size: int, side: int) -> np.ndarray:
    """[side, size], made on the host."""
    at = np.minimum(np.arange(side) * (size / side), size - 1)
    low = np.floor(at).astype(int)
    weights = np.zeros((side, size))
    weights[np.arange(side), low] += 1 - (at - low)
    weights[np.arange(side), np.minimum(low + 1, size - 1)] += at - low
    return weights


class Outputs(NamedTuple):
    """What InceptionV3 returns.

    features: [B, 2048], after the last average pooling: what FID, KID and precision and recall compare.
    logits: [B, 1008]; the Inception Score leaves their bias out (`metrics.inception_score`).
    """

    features: Float[Array, "B d"]
    logits: Float[Array, "B k"]


class InceptionV3(nn.Module):
    """InceptionV3 as its graph of 2015-12-05 has it: average pools count pixels of the image only, and the last block
    takes the maximum instead.

    Attributes:
      side: to which images are resized. Other than 299 for tests only: features are then not those of any paper.
      prepare: resizes and scales; the graph's own by default, which its weights belong to.
      precision: of convolutions and the matrix; accelerators round float32 to fewer bits by default.
      dtype: of computation; None takes that of the parameters, float32.

    Call: net.apply(params, images [B, H, W, 1 or 3], 0 .. 255) -> `Outputs`. A grey channel is repeated.
    Raises: ValueError when images have another shape or side is below 75, before anything is compiled.
    Reference: Szegedy et al. 2016 (1512.00567); Heusel et al. 2017 for its use; departures of the graph from the paper
      as found by the authors of pytorch-fid and torch-fidelity.
    Example:
      >>> net, images = InceptionV3(side=75), jnp.zeros((2, 8, 8, 1), jnp.uint8)
      >>> outputs, params = jax.eval_shape(net.init_with_output, jax.random.key(0), images)
      >>> outputs.features.shape, outputs.logits.shape
      ((2, 2048), (2, 1008))
    """

    side: int = SIDE
    prepare: Prepare = tensorflow_input
    precision: Any = jax.lax.Precision.HIGHEST
    dtype: Any = None

    @nn.compact
    def __call__(self, images: Array) -> Outputs:
        if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
            raise ValueError(f"images must be [B, H, W, 1 or 3] and not empty, got {list(images.shape)}")
        if self.side < LEAST:
            raise ValueError(f"side must be {LEAST} or more, got {self.side}")
        x = self.prepare(images, self.side)
        x = jnp.broadcast_to(x, (*x.shape[:3], 3))

        def unit(x: Image, name: str, width: int, side: int = 3, stride: int = 1, padding: str = "VALID") -> Image:
            return Unit(width, (side, side), stride, padding, self.precision, self.dtype, name=name)(x)

        x = unit(x, "Conv2d_1a_3x3", 32, stride=2)
        x = unit(x, "Conv2d_2a_3x3", 32)
        x = shrink(unit(x, "Conv2d_2b_3x3", 64, padding="SAME"))
        x = unit(x, "Conv2d_3b_1x1", 80, side=1)
        x = shrink(unit(x, "Conv2d_4a_3x3", 192))
        for name, branches in BLOCKS.items():
            x = Block(branches, self.precision, self.dtype, name=name)(x)
        features = jnp.mean(x, axis=(1, 2))
        logits = nn.Dense(CLASSES, dtype=self.dtype, precision=self.precision, name="fc")(features)
        return Outputs(features, logits)
