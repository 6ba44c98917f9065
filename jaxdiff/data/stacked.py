"""Stacked digits: three digits as the three channels of one image, 1,000 modes that can be counted."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxdiff.data import digits, prepared
from jaxdiff.data.pipeline import ArraySource, Source


class Stacked:
    """Random triples of another source's digits as a source: image [H, W, 3], label 100 a + 10 b + c int32.

    Args:
      source: of digits, image [H, W, 1], uint8 or floats in [-1, 1], and label 0 .. 9.
      num: triples, drawn once, each digit independently; 128,000 as Srivastava et al. 2017 have.
      seed: of that draw.
      pad: black pixels added on every side; 2 makes 32x32 images of MNIST's.
    Raises: ValueError when num is below 1, pad negative, or the source empty.
    Reference: Metz et al. 2017 (1611.02163), 3.3; Srivastava et al. 2017 (1705.07761), section 5.2.
    Example:
      >>> source = ArraySource(image=np.zeros((10, 8, 8, 1)), label=np.arange(10))
      >>> Stacked(source, num=5, seed=0)[4]["image"].shape
      (8, 8, 3)
    """

    def __init__(self, source: Source, num: int = 128_000, seed: int = 0, pad: int = 0):
        if num < 1 or pad < 0 or not len(source):
            raise ValueError(f"num, pad and the source's length must be positive, got {num}, {pad}, {len(source)}")
        self.source, self.pad = source, pad
        self.triples = np.random.default_rng(seed).integers(len(source), size=(num, 3))

    def __len__(self) -> int:
        return len(self.triples)

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]:
        parts = [self.source[int(row)] for row in self.triples[index]]
        image = np.concatenate([part["image"] for part in parts], axis=-1)
        black = 0 if image.dtype == np.uint8 else -1
        image = np.pad(image, ((self.pad, self.pad), (self.pad, self.pad), (0, 0)), constant_values=black)
        a, b, c = (int(part["label"]) for part in parts)
        return {"image": image, "label": np.asarray(100 * a + 10 * b + c, np.int32)}


def load(split: str = "train", num: int = 128_000, seed: int = 0) -> Stacked:
    """Load scikit-learn's digits, stacked: image float32 [8, 8, 3].

    Args:
      split: of `digits.load`.
      num, seed: as `Stacked`.
    Example:
      >>> example = load(num=3)[0]
      >>> example["image"].shape, example["label"].dtype.name
      ((8, 8, 3), 'int32')
    """
    data = digits.load(split)  # type: ignore[arg-type]  # which says what is allowed
    return Stacked(ArraySource(image=data.images, label=data.labels), num, seed)


def mnist(split: str = "train", num: int = 128_000, seed: int = 0, data_dir: str | Path | None = None) -> Stacked:
    """Load StackedMNIST, image uint8 [32, 32, 3], from the MNIST that tensorflow-datasets has prepared.

    Args:
      split: "train" or "test".
      num, seed: as `Stacked`.
      data_dir: of tensorflow-datasets.
    Raises: ValueError when MNIST is not prepared there, saying how to prepare it.
    Reference: LeCun et al. 1998. Tested on small files in the true format; the data set itself could not be had here.
    Example:
      >>> mnist(data_dir="nowhere")
      Traceback (most recent call last):
      ValueError: MNIST is not prepared in nowhere/mnist/...: call tfds.builder('mnist', ...
    """
    return Stacked(prepared.load("mnist", "MNIST", split, data_dir), num, seed, pad=2)
