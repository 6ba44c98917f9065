"""The data sets that --data names, one row each; a path that is in no row is a folder or zip of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.harness import evaluator, image_files
from experiments.harness.image_files import check_shape
from experiments.harness.system import Dataset, DatasetInfo, System
from jaxdiff.data import cifar10, digits
from jaxdiff.data.pipeline import ArraySource, Source


def named(
    name: str, info: DatasetInfo, load: Callable[[], Source], heldout: Callable[[], Source | None], **others: Any
) -> Dataset:
    """Make the row of a data set with a name and held-out examples of its own.

    Args:
      load: reads the training examples; heldout: the others; others: fields of `Dataset`.
    """

    def training(wanted: DatasetInfo, held_out: float) -> Source:
        check_share(name, held_out)
        source = load()
        check_shape(name, source, wanted.shape)
        return source

    return Dataset(lambda: info, training, lambda held_out: heldout(), **others)


def check_share(data: str, held_out: float) -> None:
    """Raise ValueError where a share is held out of data that has held-out images of its own."""
    if held_out:
        raise ValueError(
            f"--held-out is for a folder or zip of images, and {data} has held-out images of its own: leave it 0"
        )


def half_of_digits(half: Literal["train", "heldout"]) -> Source:
    """Load one half of scikit-learn's digits as a source."""
    found = digits.load(half)
    return ArraySource(image=found.images, label=found.labels.astype(np.int32))


DATASETS: dict[str, Dataset] = {
    "digits": named(
        "digits",
        DatasetInfo((8, 8, 1), 10),
        load=lambda: half_of_digits("train"),
        heldout=lambda: half_of_digits("heldout"),
        evaluate=evaluator.of_digits,
        grey_values=digits.GREY_VALUES,
        small=True,
        mirrored=False,
    ),
    "cifar10": named(
        "cifar10",
        DatasetInfo((32, 32, 3), 10),
        load=lambda: cifar10.load("train"),
        heldout=lambda: cifar10.load("test"),
    ),
}
"""To add a data set, add its row: --data, its help, its refusals and the metrics of its runs follow."""
CHOICES = f"{', '.join(DATASETS)}, or a folder or zip of images"


def find(data: str) -> Dataset:
    """Return the row that --data names, a path's where it is in no row; nothing is opened."""
    return DATASETS.get(data) or image_files.of_path(data)


def check_there(data: str) -> None:
    """Raise ValueError where --data names nothing."""
    if data not in DATASETS and not Path(data).exists():
        raise ValueError(f"--data must be {CHOICES}, and there is no {data}")


def describe(data: str) -> DatasetInfo:
    """Return shape and classes of what --data names; of a folder or zip the first image is opened.

    Raises: ValueError when it is not there.
    """
    check_there(data)
    return find(data).info()


def training(data: str, system: System, held_out: float = 0.0) -> Source:
    """Return examples {"image", "label"} to train a system on; images are bytes or floats in [-1, 1].

    Args:
      data: a row's name, or the path of a folder or zip of images, all of which are read once. A system with data of
        its own has those.
      held_out: share of a folder or zip that is left out.
    Raises: ValueError when it is not there, an image is bad, or it is not what the system is made for.
    """
    if system.data is None:
        check_there(data)
    return of(data, system).training(DatasetInfo(system.shape, system.num_classes), held_out)


def of(data: str, system: System) -> Dataset:
    """Return the data set of a system: its own, or what --data names."""
    return find(data) if system.data is None else system.data


def unseen(data: str) -> Source | None:
    """Return images that no run trained on: held-out ones of a row, all of a folder or zip.

    Raises: ValueError when they are not there.
    """
    check_there(data)
    return DATASETS[data].heldout(0.0) if data in DATASETS else image_files.labelled(data, 0)


def evaluate(config: Any, system: System, source: Source, heldout: Source | None = None) -> evaluator.Evaluator:
    """Return (samples, labels) -> metrics: the data set's own, or those of pixels.

    Args:
      source: what the run trains on; heldout: images that it does not, by default the data set's; with others
        pixels are compared.
    Returns: a function that raises ValueError when the samples are not of the shape that the system draws.
    """
    dataset = of(config.data, system)
    if dataset.evaluate is not None and heldout is None:
        return dataset.evaluate
    return evaluator.of_pixels(system.shape, source, dataset.heldout(config.held_out) if heldout is None else heldout)
