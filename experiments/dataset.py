"""Make a set of images to train on: cut, made smaller, checked, in one folder or zip file, as EDM's tools write it.

    python -m experiments.dataset --source photos/ --dest photos-32.zip --width 32 --transform center-crop
    python -m experiments.dataset --source cifar-10-binary.tar.gz --dest cifar10.zip
    python -m experiments.dataset --source tfds:mnist --dest mnist-32.zip --width 32 --channels 1
    python -m experiments.edm_cifar --data photos-32.zip      # to train on it

Photographs are read as people keep them: turned as their EXIF tag says, the first frame of those that have several, 16
bits a channel by their high byte, transparent pixels on --background. Folders are classes, in natural order, unless a
dataset.json says otherwise; folders train, val and test are splits; what is left out is counted and named
(jaxdiff.data.selection says which). dataset.json keeps the classes' names, and the files that --skip-broken skipped.

--source tfds: takes every data set of images and labels that tensorflow-datasets has prepared; cifar10 is downloaded
where it has not.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from PIL import Image, ImageColor
from tqdm import tqdm

from experiments.harness import cli
from experiments.harness.dataset_inputs import Inputs, inputs
from jaxdiff.atomic import is_occupied
from jaxdiff.data import crop, folder, folder_writer, selection
from jaxdiff.data.flatten import flatten
from jaxdiff.data.image_file import MAX_PIXELS


class Transform(NamedTuple):
    """change(image, width, height) -> the image in that size; sized: whether it needs one; square: only a square."""

    change: Callable[[Image.Image, int, int], Image.Image]
    sized: bool = True
    square: bool = False


TRANSFORMS = {
    "none": Transform(crop.resize, sized=False),
    "center-crop": Transform(crop.center_crop),
    "center-crop-dhariwal": Transform(lambda image, width, height: crop.dhariwal_crop(image, width), square=True),
}


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
    transform: Annotated[str, cli.one_of(TRANSFORMS)] = "none"
    """none: the whole image, resized; center-crop: cut to its proportions before; center-crop-dhariwal: as ADM does."""
    channels: Literal[1, 3] = 3
    """3 makes everything RGB, 1 grey."""
    background: str = "white"
    """What transparent pixels are put on, as a name or #rrggbb."""
    split: str = selection.SPLIT
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
    """Return what is done to every image.

    Raises: ValueError for sizes that it does not take.
    """
    width, height = config.width, config.height or config.width
    if config.width < 0 or config.height < 0 or (config.height and not config.width):
        raise ValueError(f"width and height must be positive, got {config.width}, {config.height}")
    chosen = TRANSFORMS[config.transform]
    if chosen.sized and not width:
        raise ValueError(f"--transform {config.transform} needs --width")
    if chosen.square and width != height:
        raise ValueError(f"--transform {config.transform} makes squares, not {width} x {height}")
    return (lambda image: chosen.change(image, width, height)) if width else lambda image: image


def color(name: str) -> tuple[int, int, int]:
    """Parse --background into red, green and blue.

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


class Prepared(NamedTuple):
    """A PNG file, the size of its image, its class, whether it was enlarged, and whether more frames follow it."""

    content: bytes
    size: tuple[int, int]
    label: int | None
    enlarged: bool
    first_of_several: bool


def prepare_images(config: Config, found: Inputs, num: int, skipped: list[tuple[str, str]]) -> Iterator[Prepared]:
    """Yield every image in order, several prepared at once; skipped ones go into the list, with the reason."""
    change, background = transform(config), color(config.background)
    first: tuple[tuple[int, int], str] | None = None

    def one(index: int) -> Prepared | str:
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
        return Prepared(
            folder_writer.encode_png(after), after.size, label if config.classes else None, enlarged, several
        )

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
                    size, first_size = ("{} x {}".format(*pixels) for pixels in (result.size, first[0]))
                    raise ValueError(
                        f"{where} has {size} pixels, but {first[1]} has {first_size}: "
                        "give --width, and --transform center-crop to keep proportions"
                    )
                yield result


def main(config: Config) -> None:
    """Read, cut, write."""
    enlarged, several, skipped = 0, 0, list[tuple[str, str]]()

    def counted() -> Iterator[tuple[bytes, int | None]]:
        nonlocal enlarged, several
        for one in tqdm(prepare_images(config, found, num, skipped), total=num, unit="image", disable=None):
            enlarged += one.enlarged
            several += one.first_of_several
            yield one.content, one.label

    with cli.bad_input():
        if is_occupied(config.dest):
            raise ValueError(f"{config.dest} is there already and nothing is written over: remove it first")
        transform(config)
        color(config.background)
        found = inputs(config.source, config.split, config.max_pixels)
        for line in found.notes:
            print(line)
        num = min(found.num, config.max_images or found.num)
        folder_writer.write(config.dest, counted(), found.classes, skipped)
        images = folder.load(config.dest)
    classes = selection.count_classes(images.labels, images.classes)
    print(f"{len(images)} images {'x'.join(map(str, images.shape))}, {classes}, written to {config.dest}")
    if enlarged:
        print(f"{enlarged} of them were smaller and have been enlarged", file=sys.stderr)
    if several:
        print(f"{several} of them have more frames, of which the first is taken", file=sys.stderr)
    if skipped:
        names = selection.abbreviate([name for name, _ in skipped])
        print(f"{len(skipped)} broken files skipped ({names}): dataset.json lists them", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.dataset")
