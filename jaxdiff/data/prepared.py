"""Image data sets that tensorflow-datasets has prepared, read without TensorFlow."""

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
        return {name: array[0] for name, array in self.take(np.array([index])).items()}

    def take(self, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        examples = self.examples.__getitems__(rows.tolist())
        image = np.stack([np.asarray(example["image"], np.uint8) for example in examples])
        return {"image": image, "label": np.array([example["label"] for example in examples], np.int32)}


def builder(name: str, data_dir: str | Path | None = None) -> Any:
    """tensorflow-datasets' builder of a data set in ArrayRecord files.

    Raises: ValueError when it knows no such data set.
    """
    import tensorflow_datasets as tfds  # slow to import, and needed by nothing else

    try:
        return tfds.builder(name, data_dir=None if data_dir is None else str(data_dir), file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        raise ValueError(f"tensorflow-datasets knows no data set {name!r}") from None


def source(builder: Any, split: str) -> Source:
    """The examples of a builder that is prepared: image uint8 [H, W, C] and label int32.

    Raises: ValueError when there is no such split, or its examples are not an image in bytes and a label.
    """
    if split not in builder.info.splits:
        raise ValueError(f"split must be one of {', '.join(builder.info.splits)}, got {split!r}")
    features = builder.info.features
    if not {"image", "label"} <= set(features) or features["image"].np_dtype != np.uint8:
        raise ValueError(f"{builder.name} has {', '.join(features)}: an image in bytes and a label are needed")
    return _Images(builder.as_data_source(split=split))


def load(name: str, title: str, split: str = "train", data_dir: str | Path | None = None) -> Source:
    """A prepared data set: image uint8 [H, W, C] and label int32.

    Args:
      name: that tensorflow-datasets knows, such as "mnist"; title: that people know.
      split: "train" or "test".
      data_dir: where tensorflow-datasets keeps its data; its own default where not given.
    Returns: a source for `pipeline.batches`.
    Raises: ValueError when the data set is not prepared there, saying how to prepare it. Preparing it downloads it and
      needs TensorFlow once; reading it does not.
    """
    found = builder(name, data_dir)
    if not found.is_prepared():
        prepare = f"tfds.builder('{name}', file_format='array_record').download_and_prepare()"
        raise ValueError(f"{title} is not prepared in {found.data_dir}: call {prepare} once, with TensorFlow installed")
    return source(found, split)
