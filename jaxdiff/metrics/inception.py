"""Features of images by InceptionV3, over all devices, for FID, KID, Inception Score, precision and recall."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from jaxdiff.nets.features.inception import InceptionV3
from jaxdiff.types import Array, Params


class Features(NamedTuple):
    """Of N images, on the host.

    pool: float32 [N, 2048], after the last average pooling.
    scores: float32 [N, 1008], logits without the bias, as the Inception Score has always been computed.
    """

    pool: NDArray[np.float32]
    scores: NDArray[np.float32]


def extractor(
    params: Params, net: InceptionV3 = InceptionV3(), batch_size: int = 64, sharding: NamedSharding | None = None
) -> Callable[[NDArray[np.uint8]], Features]:
    """Build a function of uint8 images [N, H, W, 1 or 3] to their features, one program for images of one size.

    Args:
      params: of net, as `interop.inception.load_inception` makes them.
      net: the network.
      batch_size: images at once over all devices; the last batch is filled up.
      sharding: of a batch over devices, such as `sharding.batch_sharding(mesh)`; None takes JAX's default device.
    Returns: the function. It raises ValueError for images of another type or shape: floats on a scale of their own
      would pass as dark images.
    Raises: ValueError when batch_size is below 1 or does not divide by the devices.
    Reference: Heusel et al. 2017; the pixels 0 .. 255 go through the network's own resize.
    Example:
      >>> extractor({}, batch_size=1)(np.zeros((2, 8, 8, 3), np.float32))
      Traceback (most recent call last):
      ValueError: images must be a NumPy array of uint8, 0 .. 255, got float32
    """
    devices = 1 if sharding is None else sharding.mesh.size
    if batch_size < 1 or batch_size % devices:
        raise ValueError(f"batch_size={batch_size} must be a positive multiple of the {devices} devices")
    if sharding is not None:
        params = jax.device_put(params, NamedSharding(sharding.mesh, PartitionSpec()))

    @jax.jit
    def run(params: Params, images: Array) -> tuple[Array, Array]:
        features, logits = net.apply(params, images)
        return features, logits - params["params"]["fc"]["bias"][None]

    def extract(images: NDArray[np.uint8]) -> Features:
        _check(images)
        found = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            num = len(batch)
            batch = np.concatenate([batch, np.zeros((batch_size - num, *batch.shape[1:]), np.uint8)])
            placed = batch if sharding is None else jax.device_put(batch, sharding)
            found.append([np.asarray(part)[:num] for part in run(params, placed)])
        return Features(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    return extract


def _check(images: NDArray[np.uint8]) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise ValueError(f"images must be a NumPy array of uint8, 0 .. 255, got {getattr(images, 'dtype', images)}")
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise ValueError(f"images must be [N, H, W, 1 or 3] and not empty, got {list(images.shape)}")
