"""Inputs of experiments.dataset: folders and zip files, CIFAR archives, prepared data sets."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from jaxdiff.data import cifar10, cifar_binary, files, pipeline, prepared, selection
from jaxdiff.data.image_file import open_image

DOWNLOADED: dict[str, Callable[[str], pipeline.Source]] = {"cifar10": cifar10.load}
"""Data sets that are downloaded where tensorflow-datasets has not prepared them."""


class Inputs(NamedTuple):
    """How many images; example(i), an image as it is stored and its class or None; where(i), for messages; classes, the
    names of the classes or None; notes, lines that say what is taken."""

    num: int
    example: Callable[[int], tuple[Image.Image, int | None]]
    where: Callable[[int], str]
    classes: Sequence[str] | None = None
    notes: Sequence[str] = ()


def of_data(data: pipeline.Source, name: str) -> Inputs:
    """Return the images of a data set."""

    def read(index: int) -> tuple[Image.Image, int | None]:
        example = data[index]
        pixels, label = example["image"], int(example["label"])
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return image, None if label < 0 else label  # tensorflow-datasets has -1 where labels are kept back

    return Inputs(len(data), read, lambda i: f"image {i} of {name}", getattr(data, "classes", None))


def of_files(path: str, split: str, max_pixels: int) -> Inputs:
    """Return the images of a folder or zip file.

    Raises: ValueError when there is none, or its labels do not fit.
    """
    all_files = files.Files(path)
    chosen = selection.select(all_files, split)

    def where(index: int) -> str:
        return f"{all_files.path}/{chosen.names[index]}"

    def read(index: int) -> tuple[Image.Image, int | None]:
        image = open_image(all_files.read(chosen.names[index]), where(index), max_pixels)
        return image, None if chosen.labels is None else int(chosen.labels[index])

    return Inputs(len(chosen.names), read, where, chosen.classes, selection.describe(chosen, path))


def inputs(source: str, split: str, max_pixels: int) -> Inputs:
    """Open what --source names.

    Raises: ValueError when it is not there or not what it should be.
    """
    if source.startswith("tfds:"):
        name = source.removeprefix("tfds:")
        load = DOWNLOADED.get(name, partial(prepared.load, name, name))
        return of_data(load(split), source)
    if not Path(source).exists():
        raise ValueError(f"--source must be a folder, a zip file, a CIFAR archive or tfds:NAME: no {source}")
    if source.endswith((".tar.gz", ".tgz")):
        layout = cifar_binary.detect_layout(source)
        images, classes = cifar_binary.read(source, layout, split)
        found = of_data(pipeline.ArraySource(image=images, label=classes), source)
        return found._replace(classes=cifar_binary.class_names(source, layout))
    return of_files(source, split, max_pixels)
