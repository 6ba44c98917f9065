"""The CIFAR archives in their binary version, `cifar-10-binary.tar.gz` and `cifar-100-binary.tar.gz`.

A file holds rows of label bytes and 3,072 pixels, the red, green and blue 32x32 planes one after another. Nothing is
unpacked on the disk and nothing that is read is executed.
"""

import contextlib
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PIXELS = 3 * 32 * 32


class Layout(NamedTuple):
    """Where the images of a data set are.

    folder: of the archive; splits: files by split; rows: images a file; label_bytes: before the pixels, the last is the
    class; classes: how many; names: the file that says what they are called.
    """

    folder: str
    splits: dict[str, tuple[str, ...]]
    rows: dict[str, int]
    label_bytes: int
    classes: int
    names: str


CIFAR10 = Layout(
    "cifar-10-batches-bin",
    {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
    {"train": 10_000, "test": 10_000},
    label_bytes=1,
    classes=10,
    names="batches.meta.txt",
)
CIFAR100 = Layout(
    "cifar-100-binary",
    {"train": ("train.bin",), "test": ("test.bin",)},
    {"train": 50_000, "test": 10_000},
    label_bytes=2,  # one of 20 coarse classes, one of 100
    classes=100,
    names="fine_label_names.txt",
)


def detect_layout(path: str | Path) -> Layout:
    """Detect which data set an archive holds, by the folder in it.

    Raises: ValueError when it is neither.
    Example:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
      ...     with tarfile.open(file.name, "w:gz") as archive:
      ...         archive.addfile(tarfile.TarInfo("cifar-100-binary/train.bin"))
      ...     detect_layout(file.name).classes
      100
    """
    known = {layout.folder: layout for layout in (CIFAR10, CIFAR100)}
    with _opened(Path(path)) as archive:
        first = archive.next()
        folder = "" if first is None else first.name.removeprefix("./").split("/")[0]
    if folder not in known:
        raise ValueError(
            f"{path} holds {folder!r}, none of {', '.join(known)}: get the binary version, not the pickles"
        )
    return known[folder]


def read(path: str | Path, layout: Layout, split: str = "train") -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Read a split, in the archive's order.

    Args:
      path: of the .tar.gz archive.
      layout: CIFAR10 or CIFAR100.
      split: "train" (50,000 images) or "test" (10,000).
    Returns: images uint8 [N, 32, 32, 3], labels int32 [N].
    Raises: ValueError when there is no such split, or the archive is not what the layout says: files that are missing,
      of another size, twice there or links; labels out of range; a broken archive.
    Reference: Krizhevsky 2009; the layout is that of https://www.cs.toronto.edu/~kriz/cifar.html.
    Example:
      >>> read("cifar-10-binary.tar.gz", CIFAR10, split="validation")
      Traceback (most recent call last):
      ValueError: split must be one of train, test, got 'validation'
    """
    if split not in layout.splits:
        raise ValueError(f"split must be one of {', '.join(layout.splits)}, got {split!r}")
    files = _members(Path(path), layout, split)
    missing = [name for name in layout.splits[split] if name not in files]
    if missing:
        raise ValueError(f"{path} has no {layout.folder}/{missing[0]}: is it the binary version of the data set?")
    rows = np.concatenate([np.frombuffer(files[name], np.uint8) for name in layout.splits[split]])
    rows = rows.reshape(-1, layout.label_bytes + PIXELS)
    labels = rows[:, layout.label_bytes - 1].astype(np.int32)
    if labels.max() >= layout.classes:
        raise ValueError(f"{path} has label {labels.max()}, but there are {layout.classes} classes: get it again")
    planes = rows[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def class_names(path: str | Path, layout: Layout) -> tuple[str, ...] | None:
    """Read the names of an archive's classes, in their order; None where it does not name each.

    Args:
      path: of the .tar.gz archive.
      layout: CIFAR10 or CIFAR100.
    Example:
      >>> import io, tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
      ...     with tarfile.open(file.name, "w:gz") as archive:
      ...         entry, content = tarfile.TarInfo("cifar-10-batches-bin/batches.meta.txt"), b"cat " * 10
      ...         entry.size = len(content)
      ...         archive.addfile(entry, io.BytesIO(content))
      ...     class_names(file.name, CIFAR10)[:2]
      ('cat', 'cat')
    """
    with _opened(Path(path)) as archive:
        for member in archive:
            if member.isreg() and member.name.removeprefix("./") == f"{layout.folder}/{layout.names}":
                file = archive.extractfile(member)
                assert file is not None  # as it is a regular file
                names = tuple(file.read(100_000).decode(errors="replace").split())
                return names if len(names) == layout.classes else None
    return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:gz") as archive:
            yield archive
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole .tar.gz archive ({error}): get it again") from None


def _members(path: Path, layout: Layout, split: str) -> dict[str, bytes]:
    """The files of a split by name; none is read whose kind or size is not the one expected."""
    size = layout.rows[split] * (layout.label_bytes + PIXELS)
    found: dict[str, bytes] = {}
    with _opened(path) as archive:
        for member in archive:
            folder, _, name = member.name.removeprefix("./").rpartition("/")
            if folder != layout.folder or name not in layout.splits[split]:
                continue
            if not member.isreg() or member.size != size or name in found:
                raise ValueError(f"{path}: {member.name} must be one file of {size} bytes, got {member.size}")
            file = archive.extractfile(member)
            assert file is not None  # as it is a regular file
            found[name] = file.read()
    return found
