"""Folders and zip files of PNG and JPEG images, with labels in dataset.json, as EDM's tools write them."""

import io
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jaxdiff.data import labels as label_file

SUFFIXES = (".png", ".jpg", ".jpeg")
CHANNELS = {"L": 1, "RGB": 3}
"""Of Pillow's modes that are read as they are."""
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")
MEND = "make a set of one shape with python -m experiments.dataset"


class Files:
    """The files of a folder or a zip file by name, with / between folders. Threads may read at the same time.

    Attributes:
      path: of the folder or zip file.
      names: of all files, in order; hidden ones are left out, and what macOS adds to archives.
    Raises: ValueError when there is no such folder or zip file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if not self.path.is_dir():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except (OSError, zipfile.BadZipFile) as error:
                raise ValueError(f"{path} is no folder and no zip file: {error}") from None
        self._lock = threading.Lock()  # a ZipFile counts its open members without one
        self.names = sorted(name for name in self._found() if not _HIDDEN.search(name))

    def _found(self) -> list[str]:
        if self._zip is not None:
            return [entry.filename for entry in self._zip.infolist() if not entry.is_dir()]
        walk = os.walk(self.path)
        return [Path(folder, name).relative_to(self.path).as_posix() for folder, _, names in walk for name in names]

    def read(self, name: str) -> bytes:
        """Raises: ValueError when the archive is damaged there, OSError when the file cannot be read."""
        if self._zip is None:
            return (self.path / name).read_bytes()
        try:
            with self._lock:
                return self._zip.read(name)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
            raise ValueError(f"{name} in {self.path} cannot be unpacked ({error}): make the archive anew") from None


class Images:
    """Image files as a source: image uint8 [H, W, C], C = 1 or 3, and label int32, -1 where there are none.

    Attributes:
      files: that hold them; names: of the images, in order.
      labels: [N] int32, or None.
      shape: (H, W, C) of the first, which all must have.
    """

    def __init__(self, files: Files, names: Sequence[str], labels: NDArray[np.int32] | None):
        self.files, self.names, self.labels = files, names, labels
        self.shape = decode(files.read(names[0]), self.where(0)).shape

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        image = decode(self.files.read(self.names[index]), self.where(index))
        if image.shape != self.shape:
            raise ValueError(
                f"{self.where(index)} has shape {image.shape}, but {self.names[0]} has {self.shape}: {MEND}"
            )
        return {"image": image, "label": np.asarray(-1 if self.labels is None else self.labels[index], np.int32)}

    def where(self, index: int) -> str:
        """The full name of an image, for messages."""
        return f"{self.files.path}/{self.names[index]}"


def decode(content: bytes, where: str) -> NDArray[np.uint8]:
    """An image file's pixels, [H, W, 1] or [H, W, 3].

    Raises: ValueError when it is no whole PNG or JPEG, or neither grey nor RGB in bytes.
    """
    with open_image(content, where) as image:
        if image.mode not in CHANNELS:
            raise ValueError(f"{where} is of Pillow's mode {image.mode}, neither L nor RGB: {MEND}")
        return np.asarray(image).reshape(image.height, image.width, CHANNELS[image.mode])


def open_image(content: bytes, where: str) -> Image.Image:
    """The whole image, as it is stored.

    Raises: ValueError when it is no whole PNG or JPEG.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        image.load()
    except Exception as error:  # a damaged file surfaces as any of many errors of Pillow's readers
        raise ValueError(f"{where} is no whole PNG or JPEG ({error}): replace or remove it") from None
    return image


def image_names(files: Files) -> list[str]:
    """The PNG and JPEG files by their suffix, in order.

    Raises: ValueError when there is none.
    """
    names = [name for name in files.names if name.lower().endswith(SUFFIXES)]
    if not names:
        raise ValueError(f"{files.path} holds no image: files must end in {', '.join(SUFFIXES)}")
    return names


def read_labels(files: Files, names: Sequence[str]) -> NDArray[np.int32] | None:
    """The labels in dataset.json, [N], or None where there is none or it has none.

    Raises: ValueError when it does not fit the names.
    """
    if label_file.FILE not in files.names:
        return None
    return label_file.parse(files.read(label_file.FILE), names, files.path / label_file.FILE)


def load(path: str | Path) -> Images:
    """The images of a folder or a zip file, in the order of their names. Only the first is decoded: see `check`.

    Args:
      path: a folder, or a zip file; folders in it do not matter.
    Returns: a source for `pipeline.batches`.
    Raises: ValueError when there is no such folder or zip file, there is no image in it, or dataset.json does not fit.
    Reference: the format of Karras et al. 2022's dataset_tool.py; labels that are vectors are not read.
    """
    files = Files(path)
    names = image_names(files)
    return Images(files, names, read_labels(files, names))


def check(images: Images, progress: Callable[[Iterable[None]], Iterable[None]] = iter, num_threads: int = 2) -> None:
    """Decode every image once, so that a bad one is found before training starts, not in its midst.

    Args:
      images: from `load`; progress: wraps what is iterated over, one image each.
    Raises: ValueError naming the first file that is damaged, of another shape, or neither grey nor RGB.
    """

    def look(index: int) -> None:
        images[index]

    def looked(pool: ThreadPoolExecutor) -> Iterator[None]:
        for start in range(0, len(images), 1024):  # not all at once, which would be a future an image
            yield from pool.map(look, range(start, min(start + 1024, len(images))))

    with ThreadPoolExecutor(num_threads) as pool:
        for _ in progress(looked(pool)):
            pass
