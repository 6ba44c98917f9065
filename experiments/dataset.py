"""Make a set of images to train on: cut, made smaller, checked, in one folder or zip file, as EDM's tools write it.

    python -m experiments.dataset --source photos/ --dest photos-32.zip --width 32 --transform center-crop
    python -m experiments.dataset --source cifar-10-binary.tar.gz --dest cifar10.zip
    python -m experiments.dataset --source tfds:mnist --dest mnist-32.zip --width 32 --channels 1
    python -m experiments.edm_cifar --data photos-32.zip      # to train on it

Photographs are read as people keep them: turned as their EXIF tag says, the first frame of those that have several, 16
bits a channel by their high byte, transparent pixels on --background. Folders are classes, in natural order, unless a
dataset.json says otherwise; folders train, val and test are splits; what is left out is counted and named
(jaxdiff.data.choice says which). dataset.json keeps the classes' names, and the files that --skip-broken skipped.

--source tfds: takes every data set of images and labels that tensorflow-datasets has prepared; cifar10 is downloaded
where it has not.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageColor
from tqdm import tqdm

from experiments import cli
from experiments.dataset_inputs import Inputs, inputs
from jaxdiff.data import beside, choice, crop, folder, folder_writer
from jaxdiff.data.flatten import flatten
from jaxdiff.data.image_file import MAX_PIXELS


@dataclass(frozen=True)
class Config:
    """A folder or zip file of images of one shape."""

    source: str
    """A folder or zip file of images, of which the first frame counts, a CIFAR archive (.tar.gz, binary version), or
    tfds:NAME."""
    dest: Path
    """The set: a zip file where it ends in .zip, a folder elsewhere. Nothing is written over."""
    width: int = 0
    """Of the images in pixels; 0 leaves them as they are, and all must be of one size then."""
    height: int = 0
    """Of the images in pixels; 0 is as --width."""
    transform: Literal["none", "center-crop", "center-crop-dhariwal"] = "none"
    """none: the whole image, resized; center-crop: cut to its proportions before; center-crop-dhariwal: as ADM does."""
    channels: Literal[1, 3] = 3
    """3 makes everything RGB, 1 grey."""
    background: str = "white"
    """What transparent pixels are put on, as a name or #rrggbb."""
    split: str = choice.SPLIT
    """Of CIFAR, of tfds, and of folders that hold train, val or test."""
    classes: bool = True
    """Keep the classes; --no-classes makes a set without."""
    max_images: int = 0
    """Only the first so many; 0 for all."""
    max_pixels: int = MAX_PIXELS
    """Of the largest image that is decoded; 500 million take some 4 GB of memory, on each of the machine's cores."""
    skip_broken: bool = False
    """Leave out files that are no whole images, and list them, where they would end the job."""


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


def color(name: str) -> tuple[int, int, int]:
    """Red, green and blue of --background.

    Raises: ValueError when it is no opaque colour.
    Example:
      >>> color("#0000ff")
      (0, 0, 255)
    """
    try:
        red, green, blue, *alpha = ImageColor.getrgb(name)
    except ValueError:
        alpha = [0]
    if alpha:
        raise ValueError(f"--background must be an opaque colour such as white or #ffffff, got {name!r}")
    return red, green, blue


class Made(NamedTuple):
    """A PNG file, the size of its image, its class, whether it was enlarged, and whether more frames follow it."""

    content: bytes
    size: tuple[int, int]
    label: int | None
    enlarged: bool
    first_of_several: bool


def made(config: Config, found: Inputs, num: int, skipped: list[tuple[str, str]]) -> Iterator[Made]:
    """Every image, in order, some at once; those that are skipped are put into the list, with the reason."""
    change, background = transform(config), color(config.background)
    first: tuple[tuple[int, int], str] | None = None

    def one(index: int) -> Made | str:
        try:
            image, label = found.example(index)
            flat = flatten(image, found.where(index), background)
        except (ValueError, OSError) as error:
            if config.skip_broken:
                return str(error)
            raise
        before = flat.convert("L" if config.channels == 1 else "RGB")
        after = change(before)
        enlarged = after.width > before.width or after.height > before.height
        several = getattr(image, "is_animated", False) and image.format != "MPO"  # a camera's previews
        return Made(folder_writer.png(after), after.size, label if config.classes else None, enlarged, several)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, num, 256):
            block: Sequence[int] = range(start, min(start + 256, num))
            for index, result in zip(block, pool.map(one, block), strict=True):
                where = found.where(index)
                if isinstance(result, str):
                    skipped.append((where.removeprefix(f"{Path(config.source)}/"), result.removeprefix(f"{where} ")))
                    continue
                first = first or (result.size, where)
                if result.size != first[0]:
                    here, there = ("{} x {}".format(*pixels) for pixels in (result.size, first[0]))
                    raise ValueError(
                        f"{where} has {here} pixels, but {first[1]} has {there}: "
                        "give --width, and --transform center-crop to keep proportions"
                    )
                yield result


def main(config: Config) -> None:
    """Read, cut, write."""
    enlarged, several, skipped = 0, 0, list[tuple[str, str]]()

    def counted() -> Iterator[tuple[bytes, int | None]]:
        nonlocal enlarged, several
        for one in tqdm(made(config, found, num, skipped), total=num, unit="image", disable=None):
            enlarged += one.enlarged
            several += one.first_of_several
            yield one.content, one.label

    with cli.bad_input():
        if beside.occupied(config.dest):
            raise ValueError(f"{config.dest} is there already and nothing is written over: remove it first")
        transform(config)
        color(config.background)
        found = inputs(config.source, config.split, config.max_pixels)
        for line in found.told:
            print(line)
        num = min(found.num, config.max_images or found.num)
        folder_writer.write(config.dest, counted(), found.classes, skipped)
        images = folder.load(config.dest)
    classes = choice.counted(images.labels, images.classes)
    print(f"{len(images)} images {'x'.join(map(str, images.shape))}, {classes}, written to {config.dest}")
    if enlarged:
        print(f"{enlarged} of them were smaller and have been enlarged", file=sys.stderr)
    if several:
        print(f"{several} of them have more frames, of which the first is taken", file=sys.stderr)
    if skipped:
        names = choice.few([name for name, _ in skipped])
        print(f"{len(skipped)} broken files skipped ({names}): dataset.json lists them", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.dataset")
