"""Folders and zip files of images as sources: `selection` says which are taken, `image_file` how they are decoded."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jaxdiff.data.files import Files
from jaxdiff.data.flatten import flatten
from jaxdiff.data.image_file import open_image
from jaxdiff.data.selection import SPLIT, Selection, select

MEND = "make a set of one shape with python -m experiments.dataset"


class Images:
    """Image files as a source: image uint8 [H, W, C], C = 1 or 3, and label int32, -1 where there are none.

    Attributes:
      files: that hold them; selection: which are taken, with their names, labels and classes, and what is left out.
      names: of the images, in order; labels: [N] int32, or None; classes: their names, or None.
      shape: (H, W, C) of the first, which all must have; digest: of `check`, once that was called.
    """

    def __init__(self, files: Files, selection: Selection):
        self.files, self.selection = files, selection
        self.names, self.labels, self.classes = selection.names, selection.labels, selection.classes
        self.shape = decode(files.read(self.names[0]), self.where(0)).shape
        self.digest: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.example(index, self.files.read(self.names[index]))

    def example(self, index: int, content: bytes) -> dict[str, np.ndarray]:
        """Decode the content of a file to an example.

        Args:
          index: of the image; content: of its file.
        Raises: ValueError where it is damaged or of another shape than the first.
        """
        image = decode(content, self.where(index))
        if image.shape != self.shape:
            raise ValueError(
                f"{self.where(index)} has shape {image.shape}, but {self.names[0]} has {self.shape}: {MEND}"
            )
        return {"image": image, "label": np.asarray(-1 if self.labels is None else self.labels[index], np.int32)}

    def where(self, index: int) -> str:
        """Return the full name of an image, for messages."""
        return f"{self.files.path}/{self.names[index]}"


def decode(content: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an image file to pixels [H, W, 1] where it is grey, [H, W, 3] elsewhere, by `flatten`.

    Args:
      content: of the file.
      where: its name, for messages.
    Raises: ValueError when it is no whole image, too large, or of unknown range.
    Example:
      >>> decode(b"P2 2 1 255 0 128", "a.pgm").tolist()
      [[[0], [128]]]
    """
    with open_image(content, where) as opened, flatten(opened, where) as image:
        return np.asarray(image).reshape(image.height, image.width, -1)


def load(path: str | Path, split: str = SPLIT) -> Images:
    """Load the images of a folder or a zip file, in the order of their names. Only the first is decoded: see `check`.

    Args:
      path: a folder, or a zip file, arranged as `selection` describes.
      split: to take where there are several.
    Returns: a source for `pipeline.batches`.
    Raises: ValueError when there is no such folder or zip file, there is no image or no such split in it, or
      dataset.json does not fit.
    Reference: the format of Karras et al. 2022's dataset_tool.py; labels that are vectors are not read.
    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "a.pgm").write_bytes(b"P2 2 1 255 0 128")
      ...     load(folder)[0]["image"].shape
      (1, 2, 1)
    """
    files = Files(path)
    return Images(files, select(files, split))


def check(images: Images, progress: Callable[[Iterable[None]], Iterable[None]] = iter, num_threads: int = 2) -> str:
    """Decode every image once, so that a bad one is found before training starts, not in its midst.

    Args:
      images: from `load`.
      progress: wraps what is iterated over, one image each, such as tqdm.
      num_threads: that read and decode.
    Returns: a digest of the files' bytes and labels in order, the same of a folder and of its zip file, whatever they
      are called and whoever decodes them.
    Raises: ValueError naming the first file that is damaged, of another shape, or of unknown range.
    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "a.pgm").write_bytes(b"P2 2 1 255 0 128")
      ...     len(check(load(folder)))
      16
    """

    def digest(index: int) -> bytes:
        content = images.files.read(images.names[index])
        label = images.example(index, content)["label"]
        return hashlib.sha256(f"{label} ".encode() + content).digest()

    whole = hashlib.sha256()

    def digests(pool: ThreadPoolExecutor) -> Iterator[None]:
        for start in range(0, len(images), 1024):  # not all at once, which would be a future an image
            yield from map(whole.update, pool.map(digest, range(start, min(start + 1024, len(images)))))

    with ThreadPoolExecutor(num_threads) as pool:
        for _ in progress(digests(pool)):
            pass
    return whole.hexdigest()[:16]
