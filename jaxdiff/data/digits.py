"""scikit-learn's 1,797 handwritten digits, 8x8 pixels of 17 grey values: real images that are always there.

Two halves, `train` and `heldout`, by train_test_split with test_size 0.5, stratified by label, random_state 0.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxdiff.imports import needs

GREY_VALUES = 17
"""Pixels are integers 0 .. 16."""


class Digits(NamedTuple):
    """images float32 [N, 8, 8, 1] in [-1, 1]; labels int64 [N]."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def load(split: Literal["train", "heldout", "all"] = "all") -> Digits:
    """Load one half of the data, or all of it.

    Raises: ValueError for another name.
    Reference: Alpaydin & Kaynak 1998 (UCI optical recognition of handwritten digits), as scikit-learn ships it.
    Example:
      >>> load("train").images.shape, load("heldout").images.shape
      ((898, 8, 8, 1), (899, 8, 8, 1))
    """
    if split not in ("train", "heldout", "all"):
        raise ValueError(f"split must be 'train', 'heldout' or 'all', got {split!r}")
    with needs("data", __name__):
        from sklearn.datasets import load_digits  # slow to import, and needed by nothing else
        from sklearn.model_selection import train_test_split
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 8 - 1).astype(np.float32)
    if split != "all":
        train, heldout = train_test_split(np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=0)
        rows = np.sort(train if split == "train" else heldout)
        images, labels = images[rows], labels[rows]
    return Digits(images, labels.astype(np.int64))


def to_pixels(images: NDArray) -> NDArray[np.float64]:
    """Convert images to the scale 0 .. 16 of the data: uint8 from 0 .. 255, floats from [-1, 1].

    Example:
      >>> to_pixels(np.array([0, 255], np.uint8)).tolist(), to_pixels(np.array([-1.0, 1.0])).tolist()
      ([0.0, 16.0], [0.0, 16.0])
    """
    if images.dtype == np.uint8:
        return images / 255 * 16
    return (np.asarray(images, np.float64) + 1) * 8
