"""The files of a folder or a zip file by name, whoever wrote them: links, backslashes, repeated names."""

import os
import re
import stat
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")
_LITTER = re.compile(r"(^|/)(\._|\.DS_Store$|__MACOSX/)")
"""What macOS adds to folders and archives: no data, and left out without a report."""


def natural_key(name: str) -> tuple[object, ...]:
    """Compute a key that sorts names as people count: folder by folder, 2 before 10; capitals before small letters.

    Example:
      >>> sorted(["a10/1.png", "a2/10.png", "a2/9.png"], key=natural_key)
      ['a2/9.png', 'a2/10.png', 'a10/1.png']
    """
    # Text and numbers take turns, so that they are never compared with each other.
    parts = [re.split("([0-9]+)", part) for part in name.split("/")]
    return tuple(tuple(int(x) if i % 2 else x for i, x in enumerate(part)) for part in parts), name


class Files:
    """The files of a folder or a zip file by name, with / between folders. Threads may read at the same time.

    Links are followed, those that lead back to a folder above are not; names with backslashes have folders too; of
    several files of one name in an archive the last counts, as for every tool that unpacks it.

    Attributes:
      path: of the folder or zip file.
      names: of all files, in natural order; hidden ones are left out.
      folders: names of all folders, those without files too.
      left_out: names that are not among `names`, by reason.
    Raises: ValueError when there is no such folder or zip file, OSError when a folder cannot be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.left_out: dict[str, list[str]] = defaultdict(list)
        self.folders: set[str] = set()
        self._entries: dict[str, str | zipfile.ZipInfo] = {}
        self._lock = threading.Lock()  # a ZipFile counts its open members without one
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            found: Iterator[tuple[str, str | zipfile.ZipInfo]] = self._in_folder(os.fspath(self.path), "", ())
        else:
            try:
                self._zip = zipfile.ZipFile(self.path)
            except (OSError, zipfile.BadZipFile) as error:
                raise ValueError(f"{path} is no folder and no zip file: {error}") from None
            found = self._in_zip(self._zip)
        for raw, entry in found:
            name = normalise_name(raw)
            if _HIDDEN.search(name):
                if not _LITTER.search(name):
                    self.left_out["hidden"].append(name)
                continue
            if name in self._entries:
                self.left_out["before another file of the same name"].append(name)
            self._entries[name] = entry
        self.names = sorted(self._entries, key=natural_key)
        for name in self.names:
            self.folders.update(name[: mark.start()] for mark in re.finditer("/", name))

    def _in_folder(self, place: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, str]]:
        status = os.stat(place)
        here = (*above, (status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = prefix + entry.name
                is_folder, is_file = _what(entry)
                if is_folder:
                    inside = entry.stat()  # of what a link leads to
                    if (inside.st_dev, inside.st_ino) in here:
                        self.left_out["a link to a folder above it"].append(name)
                        continue
                    self.folders.add(normalise_name(name))
                    yield from self._in_folder(entry.path, f"{name}/", here)
                elif is_file:
                    yield name, entry.path
                else:
                    self.left_out["a link to nothing, or no file"].append(name)

    def _in_zip(self, archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        for entry in archive.infolist():
            name = _text(entry)
            if name.endswith(("/", "\\")):
                self.folders.add(normalise_name(name))
            elif stat.S_ISLNK(entry.external_attr >> 16):
                self.left_out["a link in an archive"].append(name)
            else:
                yield name, entry

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises: ValueError when the archive is damaged there, OSError when the file cannot be read.
        """
        entry = self._entries[name]
        if isinstance(entry, str):
            return Path(entry).read_bytes()
        assert self._zip is not None
        try:
            with self._lock:
                return self._zip.read(entry)
        except Exception as error:  # a damaged archive surfaces as any of many errors of its decompressors
            raise ValueError(
                f"{name} in {self.path} cannot be unpacked ({error}): make the archive anew, or a set without such "
                "files with python -m experiments.dataset --skip-broken"
            ) from None


def normalise_name(name: str) -> str:
    r"""Normalise a name: / between folders, no ./ and no doubled slash.

    Example:
      >>> normalise_name("./cat\\1.png"), normalise_name("cat//")
      ('cat/1.png', 'cat')
    """
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _what(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """(whether it is a folder, whether it is a file), or a link to one."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link to itself
        return False, False


def _text(entry: zipfile.ZipInfo) -> str:
    """The name, in UTF-8 also where the archive does not say so, as macOS's do not."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename
