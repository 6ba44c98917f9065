"""Make a set of images to train on: cut, made smaller, checked, in one folder or zip file, as EDM's tools write it.

    python -m experiments.dataset --source photos/ --dest photos-32.zip --width 32 --transform center-crop
    python -m experiments.dataset --source cifar-10-binary.tar.gz --dest cifar10.zip
    python -m experiments.dataset --source tfds:mnist --dest mnist-32.zip --width 32 --channels 1
    python -m experiments.edm_cifar --data photos-32.zip      # to train on it

Classes are those of dataset.json, where a folder or zip file has one, and the first folders' otherwise. --source tfds:
takes every data set of images and labels that tensorflow-datasets has prepared; cifar10 is downloaded where it has not.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image
from tqdm import tqdm

from experiments import cli
from jaxdiff.data import beside, cifar10, cifar_binary, crop, folder, folder_writer, labels, pipeline, prepared


@dataclass(frozen=True)
class Config:
    """A folder or zip file of images of one shape."""

    source: str
    """A folder or zip file of PNG and JPEG images, a CIFAR archive (.tar.gz, binary version), or tfds:NAME."""
    dest: Path
    """The set: a zip file where it ends in .zip, a folder elsewhere. Nothing is written over."""
    width: int = 0
    """Of the images in pixels; 0 leaves them as they are, and all must be of one size then."""
    height: int = 0
    """Of the images in pixels; 0 is as --width."""
    transform: Literal["none", "center-crop", "center-crop-dhariwal"] = "none"
    """none: the whole image, resized; center-crop: cut to its proportions before; center-crop-dhariwal: as ADM does."""
    channels: Literal[1, 3] = 3
    """3 makes everything RGB, 1 grey; transparency is dropped."""
    split: str = "train"
    """Of CIFAR and tfds."""
    max_images: int = 0
    """Only the first so many; 0 for all."""


class Inputs(NamedTuple):
    """How many images; example(i), an image as it is stored and its class or None; where(i), for messages."""

    num: int
    example: Callable[[int], tuple[Image.Image, int | None]]
    where: Callable[[int], str]


def of_source(source: pipeline.Source, name: str) -> Inputs:
    """Images of a data set."""

    def read(index: int) -> tuple[Image.Image, int | None]:
        example = source[index]
        pixels, label = example["image"], int(example["label"])
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return image, None if label < 0 else label  # tensorflow-datasets has -1 where labels are kept back

    return Inputs(len(source), read, lambda i: f"image {i} of {name}")


def of_files(path: str) -> Inputs:
    """Images of a folder or zip file.

    Raises: ValueError when there is none, or its labels do not fit.
    """
    files = folder.Files(path)
    names = folder.image_names(files)
    found = folder.read_labels(files, names) if labels.FILE in files.names else labels.of_folders(names)

    def where(index: int) -> str:
        return f"{files.path}/{names[index]}"

    def read(index: int) -> tuple[Image.Image, int | None]:
        image = folder.open_image(files.read(names[index]), where(index))
        return image, None if found is None else int(found[index])

    return Inputs(len(names), read, where)


def inputs(config: Config) -> Inputs:
    """What --source names.

    Raises: ValueError when it is not there or not what it should be.
    """
    if config.source.startswith("tfds:"):
        name = config.source.removeprefix("tfds:")
        known = cifar10.load(config.split) if name == "cifar10" else prepared.load(name, name, config.split)
        return of_source(known, config.source)
    if not Path(config.source).exists():
        raise ValueError(f"--source must be a folder, a zip file, a CIFAR archive or tfds:NAME: no {config.source}")
    if config.source.endswith((".tar.gz", ".tgz")):
        images, classes = cifar_binary.read(config.source, cifar_binary.layout_of(config.source), config.split)
        return of_source(pipeline.ArraySource(image=images, label=classes), config.source)
    return of_files(config.source)


def transform(config: Config) -> Callable[[Image.Image], Image.Image]:
    """What is done to every image.

    Raises: ValueError for sizes that it does not take.
    """
    width, height = config.width, config.height or config.width
    if config.width < 0 or config.height < 0 or (config.height and not config.width):
        raise ValueError(f"width and height must be positive, got {config.width}, {config.height}")
    if config.transform == "none":
        return partial(crop.resize, width=width, height=height) if width else lambda image: image
    if not width:
        raise ValueError(f"--transform {config.transform} needs --width")
    if config.transform == "center-crop":
        return partial(crop.center_crop, width=width, height=height)
    if width != height:
        raise ValueError(f"--transform {config.transform} makes squares, not {width} x {height}")
    return partial(crop.dhariwal_crop, size=width)


def convert(image: Image.Image, channels: int, where: str) -> Image.Image:
    """The image in grey or RGB.

    Raises: ValueError when its pixels are no bytes.
    """
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{where} has more than 8 bits a channel (Pillow's mode {image.mode}): convert it first")
    return image.convert("L" if channels == 1 else "RGB")


def made(config: Config, found: Inputs, num: int) -> Iterator[tuple[bytes, int | None, bool]]:
    """(PNG file, class, whether it was enlarged) of every image, in order, some at once."""
    change = transform(config)
    sizes: list[tuple[int, int]] = []

    def one(index: int) -> tuple[bytes, tuple[int, int], int | None, bool]:
        image, label = found.example(index)
        before = convert(image, config.channels, found.where(index))
        after = change(before)
        small = after.width > before.width or after.height > before.height
        return folder_writer.png(after), after.size, label, small

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, num, 256):
            block: Sequence[int] = range(start, min(start + 256, num))
            for index, (content, size, label, small) in zip(block, pool.map(one, block), strict=True):
                sizes = sizes or [size]
                if size != sizes[0]:
                    here, there = ("{} x {}".format(*pixels) for pixels in (size, sizes[0]))
                    raise ValueError(
                        f"{found.where(index)} has {here} pixels, but {found.where(0)} has {there}: "
                        "give --width, and --transform center-crop to keep proportions"
                    )
                yield content, label, small


def main(config: Config) -> None:
    """Read, cut, write."""
    enlarged = 0

    def counted() -> Iterator[tuple[bytes, int | None]]:
        nonlocal enlarged
        for content, label, small in tqdm(made(config, found, num), total=num, unit="image", disable=None):
            enlarged += small
            yield content, label

    with cli.bad_input():
        if config.max_images < 0:
            raise ValueError(f"max_images must be 0 or more, got {config.max_images}")
        if beside.occupied(config.dest):
            raise ValueError(f"{config.dest} is there already and nothing is written over: remove it first")
        transform(config)
        found = inputs(config)
        num = min(found.num, config.max_images or found.num)
        folder_writer.write(config.dest, counted())
        images = folder.load(config.dest)
    classes = "no classes" if images.labels is None else f"{len(set(images.labels.tolist()))} classes"
    print(f"{num} images {'x'.join(map(str, images.shape))}, {classes}, written to {config.dest}")
    if enlarged:
        print(f"{enlarged} of them were smaller and have been enlarged", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.dataset")
