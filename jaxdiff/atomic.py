"""Atomic writing: a file or folder appears whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_occupied(path: Path) -> bool:
    """Return whether something at a path would be written over; an empty folder does not count.

    Example:
      >>> is_occupied(Path(__file__)), is_occupied(Path(__file__, "none"))
      (True, False)
    """
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


@contextmanager
def atomic(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a file or folder whole or not at all: yields a path next to it, renamed to `path` at the end.

    A file is renamed once it is on the disk. After an error what was at `path` is as it was.

    Args:
      path: the file or folder to be; the folders above are made.
      overwrite: replace a file that is there.
    Raises: FileExistsError when something is at `path`, at the start or at the end, and `overwrite` is not set.
    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with atomic(Path(folder, "a.txt")) as part:
      ...         _ = part.write_text("whole")
      ...     Path(folder, "a.txt").read_text()
      'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        if not overwrite:
            _check(path)
        yield part
        if part.is_file():
            _sync(part)
        if overwrite:
            part.replace(path)
            return
        _check(path)
        try:
            part.rename(path)
        except OSError:
            _check(path)  # a folder that appeared in between
            raise
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _check(path: Path) -> None:
    if is_occupied(path):
        raise FileExistsError(f"{path} is there already and nothing is written over: remove it or choose another name")
