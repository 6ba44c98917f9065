"""Arrays in shards, one file each, whole or absent, so that interrupted work goes on where it was."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jaxdiff.atomic import atomic


def spans(start: int, stop: int, size: int) -> list[range]:
    """Split the numbers start .. stop - 1 into parts of `size`, of which the last may be shorter.

    Example:
      >>> spans(50, 75, 10)
      [range(50, 60), range(60, 70), range(70, 75)]
    """
    return [range(first, min(first + size, stop)) for first in range(start, stop, size)]


def path(folder: Path, span: range) -> Path:
    """Return where a part lies.

    Example:
      >>> path(Path("images"), range(0, 1000)).name
      '00000000-00000999.npz'
    """
    return folder / f"{span.start:08d}-{span.stop - 1:08d}.npz"


def missing(folder: Path, parts: Sequence[range]) -> list[range]:
    """Return the parts that are absent or damaged; every byte of the others is checked against its CRC."""
    return [span for span in parts if not _whole(path(folder, span))]


def _whole(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            whole = archive.testzip() is None
    except FileNotFoundError:
        return False
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        whole = False
    if not whole:
        print(f"{file} is damaged and is made again")
    return whole


def save(folder: Path, span: range, **arrays: NDArray) -> None:
    """Write one part, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(path(folder, span), overwrite=True) as part, part.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load(folder: Path, span: range, name: str) -> NDArray:
    """Load one array of one part, with as many rows as the part has numbers.

    Raises: ValueError when the file holds something else.
    """
    with np.load(path(folder, span), allow_pickle=False) as file:
        array = file[name] if name in file.files else np.zeros(())
    if array.shape[:1] != (len(span),):
        raise ValueError(f"{path(folder, span)} holds no {name} of {len(span)} rows: delete it")
    return array


def each(folder: Path, parts: Sequence[range], name: str) -> Iterator[NDArray]:
    """Load one array of all parts, a part at a time."""
    return (load(folder, span, name) for span in parts)
