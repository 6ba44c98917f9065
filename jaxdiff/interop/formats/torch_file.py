"""Read `.pt` and `.pth` files without torch: the zip layout of torch >= 1.6 and the stream of records before it."""

import io
import math
import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.interop.formats.plain_values import (
    Allowance,
    CheckpointFormatError,
    Global,
    Names,
    Record,
    describe,
    dimension,
)
from jaxdiff.interop.formats.safe_pickle import load_pickle
from jaxdiff.interop.formats.stand_ins import PLAIN

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES: dict[str, Any] = {
    "Double": np.float64, "Float": np.float32, "Half": np.float16, "BFloat16": jnp.bfloat16,
    "Long": np.int64, "Int": np.int32, "Short": np.int16, "Char": np.int8, "Byte": np.uint8, "Bool": np.bool_,
    "ComplexFloat": np.complex64, "ComplexDouble": np.complex128,
}  # fmt: skip
DTYPES = {
    **{name: np.dtype(name) for name in ("float64", "float32", "float16", "complex64", "complex128", "bool")},
    **{f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{name: np.dtype(getattr(jnp, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")},
}
STORAGE_TYPES = {
    **{f"torch.{name}Storage": np.dtype(dtype) for name, dtype in STORAGES.items()},
    "torch.storage.UntypedStorage": np.dtype(np.uint8),
}


def load(path: str | Path) -> Any:
    """Load what `torch.save` wrote, tensors as NumPy arrays.

    Args:
      path: a checkpoint of either layout. bfloat16 and float8 become ml_dtypes' types; views of one storage stay views
        of one array; the zip layout's arrays are read-only.
    Returns: nested containers; a module or other object of a known class becomes a `Record`, which does nothing.
    Raises: CheckpointFormatError, which names what was met, for whatever is not such a file; OSError.
    Example:
      >>> load("no.pt")
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'no.pt'
    """
    with memory_map(path) as data:
        if data[:2] == b"PK":
            return _load_zip(path, len(data))
        return load_stream(data, Allowance(2 * len(data)))


@contextmanager
def memory_map(path: str | Path) -> Iterator[mmap.mmap]:
    """Open a file as bytes that are not read before they are used.

    Raises: CheckpointFormatError for an empty file; OSError.
    Example:
      >>> with memory_map(__file__) as data:
      ...     data[3:7]
      b'Read'
    """
    with Path(path).open("rb") as file:
        if not file.seek(0, 2):
            raise CheckpointFormatError(f"{Path(path).name} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _load_zip(path: str | Path, num_bytes: int) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _check_members(archive.infolist(), num_bytes)
            (root,) = {name.split("/")[0] for name in members}
            if f"{root}/data.pkl" not in members:
                raise CheckpointFormatError("a zip file without data.pkl")
            if f"{root}/byteorder" in members and archive.read(f"{root}/byteorder") != b"little":
                raise CheckpointFormatError("the byte order is not little-endian")
            contents: dict[str, bytes] = {}

            def storage(key: Any) -> np.ndarray:
                dtype, name, count = _storage_id(key)
                member = f"{root}/data/{name}"
                if member not in members or members[member].file_size != count * dtype.itemsize:
                    raise CheckpointFormatError(f"no member {describe(member)} of {count} {dtype}")
                if name not in contents:
                    contents[name] = archive.read(member)
                return np.frombuffer(contents[name], dtype)

            return load_pickle(io.BytesIO(archive.read(f"{root}/data.pkl")), TORCH, Allowance(num_bytes), storage)
    except CheckpointFormatError:
        raise
    except ZIP_ERRORS as error:
        raise CheckpointFormatError(f"not a whole zip file: {str(error)[:200]}") from error


def _check_members(infos: list[zipfile.ZipInfo], num_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Members by name; torch stores all uncompressed below one folder, so that no file holds more than its size."""
    members = {info.filename: info for info in infos}
    if any(name.endswith("/constants.pkl") for name in members):
        raise CheckpointFormatError("the file is a TorchScript program, not a checkpoint")
    for name, info in members.items():
        parts = name.split("/")
        if (
            len(parts) < 2
            or parts[0] != infos[0].filename.split("/")[0]
            or {"", ".", ".."} & set(parts)
            or "\\" in name
        ):
            raise CheckpointFormatError(f"the zip file has a member {describe(name)}")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise CheckpointFormatError(f"member {describe(name)} is compressed or encrypted")
    if not members or len(members) < len(infos) or sum(info.file_size for info in infos) > num_bytes:
        raise CheckpointFormatError("the zip file is empty, repeats a name or claims more bytes than it has")
    return members


def load_stream(stream: Any, allowance: Allowance) -> Any:
    """Load the layout before zip: magic number, version, system, object, keys, and the storages' bytes behind them.

    Args:
      stream: io.BytesIO or mmap. allowance: of the file that it is part of.
    Returns, Raises: as `load`.
    Example:
      >>> import pickle
      >>> load_stream(io.BytesIO(pickle.dumps(1) + pickle.dumps(2) + pickle.dumps(3)), Allowance(99))
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: not a torch file: it starts with 1, 2, 3
    """
    head = [load_pickle(stream, {}, allowance) for _ in range(3)]
    if head[:2] != [MAGIC, PROTOCOL] or type(head[2]) is not dict or head[2].get("little_endian") is not True:
        raise CheckpointFormatError(f"not a torch file: it starts with {', '.join(map(describe, head))}")
    storages: dict[str, np.ndarray] = {}

    def storage(key: Any) -> np.ndarray:
        dtype, name, count = _storage_id(key)
        if name not in storages:
            allowance.spend(count * dtype.itemsize)
            storages[name] = np.zeros(count, dtype)
        if (storages[name].dtype, storages[name].size) != (dtype, count):
            raise CheckpointFormatError(f"storage {describe(name)} has two types or sizes")
        return storages[name]

    result = load_pickle(stream, TORCH, allowance, storage)
    keys = load_pickle(stream, {}, allowance)
    if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(storages):
        raise CheckpointFormatError(f"the keys of the storages are {describe(keys)}, not the {len(storages)} in use")
    for key in keys:
        count, raw = stream.read(8), stream.read(storages[key].nbytes)
        if int.from_bytes(count, "little") != storages[key].size or len(raw) != storages[key].nbytes:
            raise CheckpointFormatError(f"storage {describe(key)} is truncated or has another size than stated")
        storages[key][:] = np.frombuffer(raw, storages[key].dtype)
    return result


def _storage_id(key: Any) -> tuple[np.dtype, str, int]:
    """(type, name, number of elements) of a persistent id; a sixth item, the view of older files, must be None."""
    match key:
        case ("storage", Global(kind), str(name), _, int(count), *rest) if kind in STORAGE_TYPES and rest in (
            [],
            [None],
        ):
            return STORAGE_TYPES[kind], name, dimension(count)
    met = ", ".join(map(describe, key)) if isinstance(key, tuple) else describe(key)
    raise CheckpointFormatError(f"not the persistent id of a storage: {met[:300]}")


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    """A view of a storage; size, stride and offset in elements must stay inside it."""
    shape, steps = [dimension(n) for n in size], [dimension(n) for n in stride]
    if not (
        type(storage) is np.ndarray and storage.ndim == 1 and storage.flags.c_contiguous and len(shape) == len(steps)
    ):
        raise CheckpointFormatError(f"a tensor views {describe(storage)} by {describe(size)} and {describe(stride)}")
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    end = dimension(offset) + 1 + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    # A stride of 0 would let a short storage pose as a huge array.
    if end > storage.size or math.prod(shape) > storage.size:
        raise CheckpointFormatError(
            f"a tensor of shape {str(tuple(shape))[:80]} at {offset} needs {max(end, math.prod(shape))} elements "
            f"of a storage that has {storage.size}"
        )
    bytes_apart = [step * storage.itemsize for step in steps]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, bytes_apart)


def _retyped(
    storage: np.ndarray, offset: int, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Global
) -> np.ndarray:
    # torch's newer types have no storage type of their own.
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, Global) else ""
    if name not in DTYPES:
        raise CheckpointFormatError(f"a tensor's type is {describe(dtype)}")
    return _tensor(storage.view(DTYPES[name]), offset, size, stride)


# What zipfile raises for broken files.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, LookupError)
CONTAINERS = ("ModuleDict", "ModuleList", "Sequential", "ParameterList", "ParameterDict")
TORCH: Names = {
    **PLAIN,
    **dict.fromkeys(STORAGE_TYPES),
    **{f"torch.{name}": None for name in DTYPES},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _retyped,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch.Size": tuple,
    "torch.device": lambda *args: Record("torch.device", *args),
    **{
        f"torch.nn.modules.container.{name}": lambda *args, name=name: Record(f"torch.nn.{name}", *args)
        for name in CONTAINERS
    },
}
