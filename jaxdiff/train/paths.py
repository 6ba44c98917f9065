"""Checks of paths: local ones only, and for checkpoints none that Orbax would read as a pattern."""

import re
from pathlib import Path, PurePath

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""A path has lost one of its slashes; two letters or more, since one is a drive of Windows."""
_PATTERN = "[*?\\"
"""What makes a path a pattern, or is turned into a slash, in the libraries below Orbax."""


def check_local(path: str | PurePath, name: str) -> None:
    """Refuse an address such as gs://bucket/run, which would be taken for the name of a folder here.

    Args:
      path: a path, or a string, which is refused only with both slashes.
      name: of the argument, for the message.
    Raises: ValueError naming both.
    Example:
      >>> check_local(Path("gs://bucket/run"), "workdir")
      Traceback (most recent call last):
      ValueError: workdir must be a path of this machine, got gs://bucket/run: mount the bucket, or copy from and to it
    """
    text = str(path)
    if _REMOTE.match(text) and (isinstance(path, PurePath) or "://" in text):
        text = text if "://" in text else text.replace(":/", "://", 1)
        raise ValueError(f"{name} must be a path of this machine, got {text}: mount the bucket, or copy from and to it")


def check_folder(folder: Path, name: str = "workdir") -> None:
    """Refuse a folder that is a file, or lies below one.

    Args:
      folder: new or not.
      name: of the argument, for the message.
    Raises: ValueError naming the argument and the file.
    Example:
      >>> check_folder(Path(__file__) / "run")
      Traceback (most recent call last):
      ValueError: workdir must be a folder, new or not, and ...paths.py is a file
    """
    path = Path(folder).absolute()
    existing = next(place for place in (path, *path.parents) if place.exists())
    if not existing.is_dir():
        raise ValueError(f"{name} must be a folder, new or not, and {existing} is a file")


def check_readable(folder: Path, name: str = "workdir") -> None:
    """Refuse a folder whose checkpoints could be written but not be read back, since Orbax looks for files by pattern.

    Args:
      folder: as it will be given to Orbax; a symbolic link's own path counts.
      name: of the argument, for the message.
    Raises: ValueError naming the characters, or as `check_local` and `check_folder`.
    Example:
      >>> check_readable(Path("/runs/x[1]"))
      Traceback (most recent call last):
      ValueError: workdir /runs/x[1] has '[' in its path, ...
    """
    check_local(folder, name)
    check_folder(folder, name)
    if wrong := [repr(c).replace("\\\\", "\\") for c in _PATTERN if c in str(Path(folder).absolute())]:
        raise ValueError(
            f"{name} {folder} has {' and '.join(wrong)} in its path, under which checkpoints cannot be read back: "
            "choose another, or a symbolic link to it"
        )
