"""CIFAR-10 through tensorflow-datasets, read without TensorFlow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.data.pipeline import Source


class _Images:
    """The examples of a TFDS data source as the pipeline wants them."""

    def __init__(self, examples: Any):
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]:
        example = self.examples[index]
        image = np.asarray(example["image"], np.float32) / 127.5 - 1
        return {"image": image, "label": np.asarray(example["label"], np.int32)}


def load(split: str = "train", data_dir: str | Path | None = None) -> Source:
    """The prepared data set: image float32 [32, 32, 3] in [-1, 1] and label int32.

    Args:
      split: "train" (50,000 images) or "test" (10,000).
      data_dir: where tensorflow-datasets keeps its data; its own default where not given.
    Returns: a source for `pipeline.batches`.
    Raises: ValueError when the data set is not prepared there, saying how to prepare it. Preparing it downloads
      CIFAR-10 and needs TensorFlow once; reading it does not.
    Reference: Krizhevsky 2009. Tested on small files in the true format; the data set itself could not be had here.
    """
    import tensorflow_datasets as tfds  # slow to import, and needed by nothing else

    builder = tfds.builder("cifar10", data_dir=None if data_dir is None else str(data_dir), file_format="array_record")
    if not builder.is_prepared():
        prepare = "tfds.builder('cifar10', file_format='array_record').download_and_prepare()"
        raise ValueError(
            f"CIFAR-10 is not prepared in {builder.data_dir}: call {prepare} once, with TensorFlow installed"
        )
    return _Images(builder.as_data_source(split=split))
