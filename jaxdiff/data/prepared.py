"""Image data sets that tensorflow-datasets has prepared, read without TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.data import tfrecord
from jaxdiff.data.pipeline import Source
from jaxdiff.imports import needs


class _Images:
    """The examples of a TFDS data source as the pipeline wants them, and the names of their classes."""

    def __init__(self, examples: Any, classes: Sequence[str] | None):
        self.examples, self.classes = examples, classes

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]:
        return {name: array[0] for name, array in self.take(np.array([index])).items()}

    def take(self, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        examples = self.examples.__getitems__(rows.tolist())
        image = np.stack([np.asarray(example["image"], np.uint8) for example in examples])
        return {"image": image, "label": np.array([example["label"] for example in examples], np.int32)}


class _Examples:
    """The examples in TFRecord files, as TFDS's data sources give them."""

    def __init__(self, features: Any, paths: Sequence[Path]):
        self.features, self.records = features, tfrecord.Records(paths)

    def __len__(self) -> int:
        return len(self.records)

    def __getitems__(self, rows: Sequence[int]) -> list[Any]:
        return [self.features.deserialize_example_np(self.records[row]) for row in rows]


def find_builder(name: str, data_dir: str | Path | None = None) -> Any:
    """Find tensorflow-datasets' builder of a data set: as it is prepared, or in ArrayRecord files where it is not yet.

    Args:
      name: that tensorflow-datasets knows.
      data_dir: where it keeps its data; its own default where not given.
    Raises: ValueError when it knows no such data set, or cannot read it.
    Example:
      >>> find_builder("mnist", data_dir="nowhere").name
      'mnist'
    """
    with needs("data", __name__):
        import tensorflow_datasets as tfds  # slow to import, and needed by nothing else

    given: dict[str, Any] = {"data_dir": None if data_dir is None else str(data_dir)}
    try:
        try:
            return tfds.builder(name, **given, file_format="array_record")
        except ValueError:  # where it is prepared in another format
            return tfds.builder(name, **given)
    except tfds.core.DatasetNotFoundError:
        raise ValueError(f"tensorflow-datasets knows no data set {name!r}") from None
    except Exception as error:  # of the data set's own code too, which may import what is not there
        reason = f"{error}".strip().split("\n")[0]
        raise ValueError(f"tensorflow-datasets cannot read {name!r}: {reason}") from None


def is_readable(builder: Any) -> bool:
    """Return whether a data set is prepared, in ArrayRecord or TFRecord files.

    Example:
      >>> from types import SimpleNamespace
      >>> is_readable(SimpleNamespace(is_prepared=lambda: False))
      False
    """
    return builder.is_prepared() and builder.info.file_format.value in ("array_record", "tfrecord")


def open_source(builder: Any, split: str) -> Source:
    """Open the examples of a builder that `is_readable`: image uint8 [H, W, C] and label int32.

    Args:
      builder: of tensorflow-datasets.
      split: one of its splits.
    Raises: ValueError when there is no such split, its files are damaged, or its examples are not an image in bytes and
      a label.
    Example:
      >>> from types import SimpleNamespace
      >>> open_source(SimpleNamespace(info=SimpleNamespace(splits={"train": None})), "test")
      Traceback (most recent call last):
      ValueError: split must be one of train, got 'test'
    """
    info = builder.info
    if split not in info.splits:
        raise ValueError(f"split must be one of {', '.join(info.splits)}, got {split!r}")
    features = info.features
    if not {"image", "label"} <= set(features) or features["image"].np_dtype != np.uint8:
        raise ValueError(f"{builder.name} has {', '.join(features)}: an image in bytes and a label are needed")
    if info.file_format.value == "tfrecord":
        paths = [Path(path) for path in info.splits[split].filepaths]
        if absent := [path for path in paths if not path.is_file()]:
            raise ValueError(f"{absent[0]} is not there, though {builder.name} was prepared: prepare it anew")
        examples: Any = _Examples(features, paths)
        if len(examples) != (num := info.splits[split].num_examples):
            raise ValueError(f"{builder.data_dir} holds {len(examples)} of {num} examples: prepare it anew")
    else:
        examples = builder.as_data_source(split=split)
    return _Images(examples, getattr(features["label"], "names", None))


def load(name: str, title: str, split: str = "train", data_dir: str | Path | None = None) -> Source:
    """Load a prepared data set: image uint8 [H, W, C] and label int32.

    Args:
      name: that tensorflow-datasets knows, such as "mnist".
      title: its usual name, for messages.
      split: "train" or "test".
      data_dir: where tensorflow-datasets keeps its data; its own default where not given.
    Returns: a source for `pipeline.batches`.
    Raises: ValueError when the data set is not prepared there in a format that is read, saying how to prepare it.
      Preparing it downloads it and needs TensorFlow once; reading it does not.
    Example:
      >>> load("mnist", "MNIST", data_dir="nowhere")
      Traceback (most recent call last):
      ValueError: MNIST is not prepared in nowhere/mnist/...: call tfds.builder('mnist', ...
    """
    found = find_builder(name, data_dir)
    if not is_readable(found):
        prepare = f"tfds.builder('{name}', file_format='array_record').download_and_prepare()"
        if found.is_prepared():
            form = found.info.file_format.value
            raise ValueError(
                f"{title} is prepared in {found.data_dir} as {form}, which is not read: remove that folder or set "
                f"TFDS_DATA_DIR to another one, and call {prepare} once, with TensorFlow installed"
            )
        raise ValueError(f"{title} is not prepared in {found.data_dir}: call {prepare} once, with TensorFlow installed")
    return open_source(found, split)
