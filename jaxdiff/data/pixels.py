"""Pixels from bytes to floats in [-1, 1], on the device."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from jaxdiff.types import Array

Image = TypeVar("Image", np.ndarray, Array)


def to_float(image: Image) -> Image:
    """Convert uint8 0 .. 255 to float32 (2 image - 255) / 255; another type is left as it is.

    The same bits on the host and on every device, as only one product is rounded, where a compiler does not fuse it
    with what comes after.

    Args:
      image: of NumPy or JAX, of any shape.
    Example:
      >>> to_float(np.array([0, 255], np.uint8)).tolist(), to_float(np.array([0.5])).tolist()
      ([-1.0, 1.0], [0.5])
    """
    return (2 * image.astype(np.float32) - 255) * np.float32(1 / 255) if image.dtype == np.uint8 else image


def normalise(batch: Mapping[str, Image]) -> dict[str, Image]:
    """Convert everything in a batch by `to_float`: first in a compiled step, so that bytes travel, not floats.

    Example:
      >>> batch = normalise({"image": np.zeros((1, 2), np.uint8), "label": np.array([3])})
      >>> batch["image"].tolist(), batch["label"].tolist()
      ([[-1.0, -1.0]], [3])
    """
    return {name: to_float(array) for name, array in batch.items()}
