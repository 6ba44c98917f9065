"""The data set that --data names: digits, CIFAR-10, or a folder or zip of images; and its part that is held out."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from experiments.system import System
from jaxdiff.data import choice, cifar10, digits, folder
from jaxdiff.data.pipeline import ArraySource, Part, Source
from jaxdiff.train import hosts


class Look(NamedTuple):
    """What a data set is: (H, W, C) of its images, and how many classes they have, 0 for none."""

    shape: tuple[int, ...]
    num_classes: int


def look(data: str) -> Look:
    """What --data names, of which a folder's or zip's first image is opened.

    Raises: ValueError when it is not there.
    """
    if data == "digits":
        return Look((8, 8, 1), 10)
    if data == "cifar10":
        return Look((32, 32, 3), 10)
    images = image_files(data)
    return Look(images.shape, 0 if images.labels is None else len(images.classes or range(images.labels.max() + 1)))


def training(data: str, system: System, held_out: float = 0.0) -> Source:
    """Examples {"image", "label"} to train a system on; images are bytes or floats in [-1, 1].

    Args:
      data: "digits", "cifar10", or the path of a folder or zip of images, all of which are looked at once. A system
        with data of its own has those.
      held_out: share of a folder or zip that is left out.
    Raises: ValueError when it is not there, an image is bad, or it is not what the system is made for.
    """
    source: Source
    if system.data is not None:
        check_share(data, held_out)
        return system.data.source()
    if data == "digits":
        check_share(data, held_out)
        half = digits.load("train")
        source = ArraySource(image=half.images, label=half.labels.astype(np.int32))
    elif data == "cifar10":
        check_share(data, held_out)
        source = cifar10.load("train")
    else:
        source = labelled(data, system.num_classes)
    check_shape(data, source, system.shape)
    if isinstance(source, folder.Images):
        rows = shares(data, len(source), held_out)[0] if held_out else np.arange(len(source))
        check_classes(data, source.labels, rows, system.num_classes)
        for line in choice.described(source.choice, data) if hosts.first() else ():
            tqdm.write(line)
        source.digest = folder.check(
            source, partial(tqdm, total=len(source), desc="checking images", unit="image", disable=None)
        )
        return Part(source, rows) if held_out else source
    return source


def digest(source: Source) -> str | None:
    """What names the images of a folder or zip, wherever they lie; None of data that have a name."""
    return getattr(getattr(source, "source", source), "digest", None)


def about(source: Source) -> dict[str, Any]:
    """What report.json says of the data: how many images, and of a folder or zip its classes by index, its split, how
    many of its files are left out and why.
    """
    found: dict[str, Any] = {"num": len(source)}
    source = source.source if isinstance(source, Part) else source
    if classes := getattr(source, "classes", None):
        found["classes"] = dict(enumerate(classes))
    if isinstance(source, folder.Images) and source.choice.split:
        found["split"] = source.choice.split
    if isinstance(source, folder.Images) and source.choice.left_out:
        found["left_out"] = {why: len(names) for why, names in source.choice.left_out.items()}
    return found


def unseen(data: str, held_out: float = 0.0) -> Source | None:
    """Images of the same kind that `training` leaves out; None where there are none.

    Of a folder or zip they are the share that is held out, or where it is divided into splits its val or test.
    Raises: ValueError as `training`.
    """
    if data == "digits":
        half = digits.load("heldout")
        return ArraySource(image=half.images, label=half.labels.astype(np.int32))
    if data == "cifar10":
        return cifar10.load("test")
    images = image_files(data)
    if held_out:
        return Part(images, shares(data, len(images), held_out)[1])
    for split in ("val", "test") if images.choice.split else ():
        with contextlib.suppress(ValueError):  # there is no such split
            return folder.load(data, split)
    return None


def shares(data: str, num: int, held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """(rows to train on, rows held out) of `num` images, either in order: a function of both numbers only.

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


def check_share(data: str, held_out: float) -> None:
    """Raise ValueError where a share is held out of what has other data to be judged by."""
    if held_out:
        raise ValueError(
            f"--held-out is for a folder or zip of images, and {data} has others to be judged by: leave it 0"
        )


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


def image_files(path: str) -> folder.Images:
    """A folder or zip of images.

    Raises: ValueError when it is not there.
    """
    if not Path(path).exists():
        raise ValueError(f"--data must be digits, cifar10, or a folder or zip of images, and there is no {path}")
    return folder.load(path)


def labelled(path: str, num_classes: int) -> folder.Images:
    """A folder or zip of images with the labels that a network of so many classes needs.

    Raises: ValueError when it is not there, or has no labels or others.
    """
    images = image_files(path)
    if num_classes and images.labels is None:
        raise ValueError(
            f"{path} has no labels, but the network has {num_classes} classes: put images into a folder a class, or "
            "give it a dataset.json"
        )
    if num_classes and images.labels is not None and images.labels.max() >= num_classes:
        raise ValueError(f"{path} has a label {images.labels.max()}, but the network has {num_classes} classes")
    return images
