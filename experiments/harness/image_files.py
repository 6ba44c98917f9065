"""Folders and zips of images as data sets: which images are trained on, which held out, and errors for bad ones."""

import contextlib
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.harness.system import Dataset, DatasetInfo
from jaxdiff.data import folder, selection
from jaxdiff.data.pipeline import Part, Source
from jaxdiff.train import hosts


def of_path(data: str) -> Dataset:
    """Make the row of a path; its files are opened when they are asked for."""
    return Dataset(partial(info, data), partial(training, data), partial(heldout, data))


def info(data: str) -> DatasetInfo:
    """Return shape and classes, by the first image and all labels.

    Raises: ValueError when it is not there.
    """
    images = folder.load(data)
    num_classes = 0 if images.labels is None else len(images.classes or range(images.labels.max() + 1))
    return DatasetInfo(images.shape, num_classes)


def training(data: str, wanted: DatasetInfo, held_out: float) -> Source:
    """Load the images to train on, each of which is read once and checked.

    Raises: ValueError when one is bad, or they are not what is wanted.
    """
    images = labelled(data, wanted.num_classes)
    check_shape(data, images, wanted.shape)
    rows = shares(data, len(images), held_out)[0] if held_out else np.arange(len(images))
    check_classes(data, images.labels, rows, wanted.num_classes)
    for line in selection.describe(images.selection, data) if hosts.is_primary() else ():
        tqdm.write(line)
    progress = partial(tqdm, total=len(images), desc="checking images", unit="image", disable=None)
    images.digest = folder.check(images, progress)
    return Part(images, rows) if held_out else images


def heldout(data: str, held_out: float) -> Source | None:
    """Load the share that is held out, or where there are splits its val or test; None where there is neither."""
    images = folder.load(data)
    if held_out:
        return Part(images, shares(data, len(images), held_out)[1])
    for split in ("val", "test") if images.selection.split else ():
        with contextlib.suppress(ValueError):  # there is no such split
            return folder.load(data, split)
    return None


def labelled(path: str, num_classes: int) -> folder.Images:
    """Load a folder or zip of images with the labels that a network of so many classes needs.

    Raises: ValueError when it is not there, or has no labels or others.
    """
    images = folder.load(path)
    if num_classes and images.labels is None:
        raise ValueError(
            f"{path} has no labels, but the network has {num_classes} classes: put images into a folder a class, or "
            "give it a dataset.json"
        )
    if num_classes and images.labels is not None and images.labels.max() >= num_classes:
        raise ValueError(f"{path} has a label {images.labels.max()}, but the network has {num_classes} classes")
    return images


def shares(data: str, num: int, held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows to train on, rows held out) of `num` images, in order: a function of both numbers only.

    Raises: ValueError when one of them is empty.
    Example:
      >>> [rows.tolist() for rows in shares("photos", 10, 0.2)]
      [[0, 1, 2, 3, 5, 7, 8, 9], [4, 6]]
    """
    few = round(held_out * num)
    if not 0 < few < num:
        raise ValueError(
            f"--held-out {held_out} of the {num} images of {data} is {few}: some must be held out, and some left"
        )
    rows = np.random.default_rng(0).permutation(num)
    return np.sort(rows[few:]), np.sort(rows[:few])


def check_shape(data: str, source: Source, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a source's images have the shape that a network is made for."""
    found = source[0]["image"].shape
    if found != shape:
        height, width, channels = shape
        raise ValueError(
            f"--data {data} has images {found}, the network {shape}: experiments whose names end in _cifar follow the "
            f"data, and python -m experiments.dataset --width {width} --height {height} --channels {channels} makes "
            "others fit"
        )


def check_classes(data: str, labels: np.ndarray | None, rows: np.ndarray, num_classes: int) -> None:
    """Raise ValueError unless each class of a network is among the rows that it is trained on: it will be drawn."""
    if not num_classes or labels is None:
        return
    absent = np.setdiff1d(np.arange(num_classes), labels[rows])
    if absent.size:
        some = ", ".join(map(str, absent[:5])) + (", ..." if absent.size > 5 else "")
        raise ValueError(
            f"--data {data} has no image to train on of {absent.size} of the network's {num_classes} classes ({some}), "
            "which would be drawn all the same: number classes 0, 1, ... without gaps; experiments whose names end in "
            "_cifar take as many as there are"
        )


def digest(source: Source) -> str | None:
    """Return the digest of a folder's or zip's images, wherever they lie; None of data that have a name."""
    return getattr(getattr(source, "source", source), "digest", None)


def about(source: Source) -> dict[str, Any]:
    """Return what report.json says of the data.

    It is how many images there are, and of a folder or zip its classes by index, its split, how many of its files are
    left out and why.
    """
    found: dict[str, Any] = {"num": len(source)}
    source = source.source if isinstance(source, Part) else source
    if classes := getattr(source, "classes", None):
        found["classes"] = dict(enumerate(classes))
    if isinstance(source, folder.Images) and source.selection.split:
        found["split"] = source.selection.split
    if isinstance(source, folder.Images) and source.selection.left_out:
        found["left_out"] = {why: len(names) for why, names in source.selection.left_out.items()}
    return found
