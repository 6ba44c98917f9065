"""Download a file once, and check its SHA-256 whenever it is used."""

import hashlib
import http.client
import re
import urllib.request
from pathlib import Path
from typing import NamedTuple

from jaxdiff.atomic import atomic

CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte


class Published(NamedTuple):
    """Where a file is published, and its SHA-256."""

    url: str
    sha256: str


def verify(path: str | Path, sha256: str) -> Path:
    """Check that the file at a path is the one that the digest names.

    Args:
      path: of a file.
      sha256: 64 hexadecimal digits.
    Returns: the path.
    Raises: ValueError when the digest is not one, or the file has another, which the message names; OSError.
    Example:
      >>> import os
      >>> verify(os.devnull, hashlib.sha256(b"").hexdigest()).as_posix() == os.devnull
      True
    """
    _check_digest(sha256)
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise ValueError(f"{path} has SHA-256 {found}, not {sha256}: move it away, or give its own digest")
    return Path(path)


def fetch(url: str, sha256: str, path: str | Path) -> Path:
    """Fetch a file: download it if it is not at `path`, and check its SHA-256 in either case.

    The bytes go to a file next to it, which takes its name once the digest agrees: a failed, broken off or wrong
    download leaves nothing, and two processes that fetch at once do not disturb each other.

    Args:
      url: https, http or file.
      sha256: 64 hexadecimal digits.
      path: where the file lies or shall lie; its folder is made.
    Returns: the path.
    Raises: ValueError when the digest is not one, or the file is not the one it names (a file that was there stays);
      OSError when the URL cannot be read.
    Example:
      >>> fetch("https://example.com/model.pt", "abc", "model.pt")
      Traceback (most recent call last):
      ValueError: sha256 must be 64 hexadecimal digits, got 'abc': no file is used unchecked
    """
    path = Path(path)
    _check_digest(sha256)
    if path.exists():
        return verify(path, sha256)
    try:
        with atomic(path, overwrite=True) as part:
            digest = hashlib.sha256()
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response, part.open("wb") as file:
                while chunk := response.read(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != sha256.lower():
                raise ValueError(f"{url} gave {path.name} with SHA-256 {digest.hexdigest()}, not {sha256}: refused")
    except http.client.HTTPException as error:  # not an OSError: a reply that is broken off or is none
        raise OSError(f"{url} cannot be read: {error!r}") from error
    return path


def _check_digest(sha256: str) -> None:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256[:80]!r}: no file is used unchecked")
