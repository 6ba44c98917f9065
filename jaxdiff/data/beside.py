"""Files and folders that are whole or not there at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def occupied(path: Path) -> bool:
    """Whether something is at a place that must not be written over; an empty folder is nothing."""
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A place in the same folder; what is made there takes the name `path` at the end, and is gone after an error.

    Args:
      path: what shall be there, a file or a folder; the folders above are made.
    Raises: FileExistsError when something is at `path`, at the start or at the end.
    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with beside(Path(folder, "a.txt")) as part:
      ...         _ = part.write_text("whole")
      ...     Path(folder, "a.txt").read_text()
      'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        _check(path)
        yield part
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


def _check(path: Path) -> None:
    if occupied(path):
        raise FileExistsError(f"{path} is there already and nothing is written over: remove it or choose another name")
