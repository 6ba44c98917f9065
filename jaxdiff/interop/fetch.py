"""A file from a URL, once, and only if it is the very file that was meant."""

import hashlib
import http.client
import os
import re
import urllib.request
from pathlib import Path
from typing import NamedTuple

CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte


class Published(NamedTuple):
    """Where a file is published, and its SHA-256."""

    url: str
    sha256: str


def verify(path: str | Path, sha256: str) -> Path:
    """The path, once the file there is the one that the digest names.

    Args:
      path: of a file.
      sha256: 64 hexadecimal digits.
    Raises: ValueError when the digest is not one, or the file has another, which is said; OSError.
    """
    _check_digest(sha256)
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise ValueError(f"{path} has SHA-256 {found}, not {sha256}: move it away, or give its own digest")
    return Path(path)


def fetch(url: str, sha256: str, path: str | Path) -> Path:
    """The file at `path`, downloaded if it is not there; its SHA-256 is checked in either case.

    The bytes go to a file beside it, which takes its name once the digest agrees: a failed, broken off or wrong
    download leaves nothing, and two processes that fetch at once do not disturb each other.

    Args:
      url: https, http or file.
      sha256: 64 hexadecimal digits.
      path: where the file lies or shall lie; its folder is made.
    Returns: the path.
    Raises: ValueError when the digest is not one, or the file is not the one it names (a file that was there stays);
      OSError when the URL cannot be read.
    """
    path = Path(path)
    _check_digest(sha256)
    if path.exists():
        return verify(path, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        digest = hashlib.sha256()
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, part.open("wb") as file:
            while chunk := response.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256.lower():
            raise ValueError(f"{url} gave {path.name} with SHA-256 {digest.hexdigest()}, not {sha256}: refused")
        part.replace(path)
    except http.client.HTTPException as error:  # not an OSError: a reply that is broken off or is none
        raise OSError(f"{url} cannot be read: {error!r}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _check_digest(sha256: str) -> None:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256[:80]!r}: no file is used unchecked")
