"""Named arrays and one JSON object in a file, safetensors or NumPy's .npz; nothing in a file is executed.

In .safetensors the JSON lies in the header's metadata, under `KEY`; in .npz in an array of text of that name. Names of
arrays are the parameters' paths with dots, so that flax.traverse_util.unflatten_dict(arrays, sep=".") gives `params`.
"""

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from jaxdiff.atomic import atomic
from jaxdiff.imports import needs
from jaxdiff.interop.formats.plain_values import Allowance, CheckpointFormatError

KEY = "jaxdiff"
Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[tuple[int, ...], str]]
"""{name: (shape, type)}."""
Header = tuple[Shapes, str | None]
"""What there is, and the JSON, None where there is none."""


def _safetensors_header(path: Path) -> Header:
    with needs("interop", __name__):
        from safetensors import safe_open
    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
        described = (file.metadata() or {}).get(KEY)
        return {
            n: (tuple(s.get_shape()), TYPES.get(s.get_dtype(), s.get_dtype())) for n, s in slices.items()
        }, described


def _safetensors_read(path: Path) -> dict[str, np.ndarray]:
    with needs("interop", __name__):
        from safetensors.numpy import load_file
    return load_file(path)


def _safetensors_write(path: Path, arrays: Arrays, described: str) -> None:
    with needs("interop", __name__):
        from safetensors.numpy import save
    # It takes bytes as they lie in memory, whatever the strides; and its own files nobody else may read.
    path.write_bytes(save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, metadata={KEY: described}))


def _npz_header(path: Path) -> Header:
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    described = None
    allowance = Allowance(COMPRESSION * path.stat().st_size)  # before NumPy allocates what a header declares
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                if npy.read_magic(file) != (1, 0):  # the headers of others may be of any length
                    raise ValueError(f"{member} is no array as np.savez writes it")
                shape, _, dtype = npy.read_array_header_1_0(file)
            if dtype.hasobject:
                raise ValueError(f"{member} holds Python objects")
            if min(shape, default=0) < 0:
                raise ValueError(f"{member} has shape {shape}")
            allowance.spend(math.prod(shape) * dtype.itemsize)
            found[member.removesuffix(".npy")] = (shape, str(dtype))
        if found.pop(KEY, None) is not None:
            with np.load(path, allow_pickle=False) as arrays:
                described = str(arrays[KEY])
    return found, described


def _npz_read(path: Path) -> dict[str, np.ndarray]:
    _npz_header(path)  # which refuses what must not be read
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != KEY}


def _npz_write(path: Path, arrays: Arrays, described: str) -> None:
    with path.open("wb") as file:  # by its name savez would add a suffix
        np.savez(file, **{KEY: np.asarray(described)}, **arrays)  # type: ignore[arg-type]


COMPRESSION = 16
"""How many times its size an .npz may hold: compressed parameters are nearly as large as they were."""
TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Of safetensors, by NumPy's names."""


class Format(NamedTuple):
    """header(path) -> shapes, types and the JSON, without the arrays; read(path); write(path, arrays, JSON)."""

    header: Callable[[Path], Header]
    read: Callable[[Path], dict[str, np.ndarray]]
    write: Callable[[Path, Arrays, str], None]


FORMATS = {
    ".safetensors": Format(_safetensors_header, _safetensors_read, _safetensors_write),
    ".npz": Format(_npz_header, _npz_read, _npz_write),
}
"""By suffix."""


def format_of(path: Path, what: str = "path") -> Format:
    """Return the format of a file by its suffix.

    Args:
      path: of the file, which need not be there; what: its name, for messages.
    Raises: ValueError for another suffix.
    Example:
      >>> format_of(Path("params.pt"), "--out")
      Traceback (most recent call last):
      ValueError: --out must end in .safetensors or .npz, got params.pt
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"{what} must end in {' or '.join(FORMATS)}, got {path}")
    return FORMATS[path.suffix]


def write(path: str | Path, arrays: Arrays, described: Mapping[str, Any], overwrite: bool = False) -> None:
    """Write arrays and a JSON object, whole or not at all.

    Args:
      path: ends in .safetensors or .npz; arrays: by name; described: JSON values; overwrite: a file that is there.
    Raises: ValueError for another suffix; FileExistsError; jaxdiff.imports.MissingExtra without safetensors.
    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write(f"{folder}/a.npz", {"w": np.ones(2)}, {"n": 1})
      ...     header(f"{folder}/a.npz"), read(f"{folder}/a.npz")
      (({'w': ((2,), 'float64')}, {'n': 1}), {'w': array([1., 1.])})
    """
    path = Path(path)
    form, text = format_of(path), json.dumps(described)
    with atomic(path, overwrite) as part:
        form.write(part, arrays, text)


def header(path: str | Path) -> tuple[Shapes, Any]:
    """Read what a file holds, without its arrays: ({name: (shape, type)}, the JSON or None).

    Raises: CheckpointFormatError (a ValueError) when it is no such file; OSError; ValueError for another suffix.
    Example: see `write`.
      >>> header("none.npz")
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'none.npz'
    """
    path = Path(path)
    found, text = _guarded(path, format_of(path).header)
    if odd := [name for name in found if not name.isprintable()]:
        raise CheckpointFormatError(f"{path.name}: {odd[0]!r} is no name of an array")
    try:
        return found, None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:  # a JSONDecodeError, or a number too long, or lists too deep
        raise CheckpointFormatError(f"{path.name}: its description is no JSON ({error})") from None


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file by name.

    Raises: as `header`.
    Example: see `write`.
      >>> read("none.npz")
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'none.npz'
    """
    path = Path(path)
    return _guarded(path, format_of(path).read)


def _guarded(path: Path, act: Callable[[Path], Any]) -> Any:
    path.open("rb").close()  # for an error of the system, not of a library
    try:
        return act(path)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # whatever the libraries make of a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointFormatError(f"{path.name} is no {path.suffix} file of arrays ({reason})") from None
