"""Read msgpack checkpoints of Flax, as the JAX code of score SDEs saved them, without trusting them.

Decoded here on msgpack itself: `flax.serialization.msgpack_restore` runs no code either, but lets foreign extensions,
any dtype and duplicate keys through, sets no bounds, and names no entry in its errors.

A file is one msgpack map. Arrays are extension 1, themselves msgpack of (shape, name of the dtype, bytes in C order),
complex numbers extension 2, of (real, imaginary), NumPy scalars extension 3, as 1. Arrays above 1 GiB are maps of their
shape and flat chunks.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.imports import needs
from jaxdiff.interop.formats.plain_values import MAX_DEPTH, CheckpointFormatError, describe, dimension
from jaxdiff.interop.formats.torch_file import DTYPES, memory_map

with needs("interop", __name__):
    import msgpack

ARRAY, COMPLEX, SCALAR = 1, 2, 3
CHUNKED = "__msgpack_chunked_array__"
MAX_ITEMS = 1 << 14  # of one map or list, since msgpack makes room for all that its header promises
MAX_NODES = 2_000_000  # of all maps and lists


def load(path: str | Path) -> dict[str, Any]:
    """Load what `flax.serialization.msgpack_serialize` or `flax.training.checkpoints` wrote.

    A checkpoint of score SDEs has "params_ema", "optimizer" with "target" and "state", "model_state", "step", "lr",
    "ema_rate", "rng".

    Args:
      path: the file.
    Returns: nested dicts with text as keys (and lists, where there are any) of arrays, NumPy scalars, numbers, text,
      bytes and None. The arrays are read-only but for those that were chunked.
    Raises: CheckpointFormatError, which names the file and the entry, for whatever is not such a file; OSError.
    Example:
      >>> import tempfile
      >>> from flax.serialization import msgpack_serialize
      >>> with tempfile.NamedTemporaryFile() as file:
      ...     _ = file.write(msgpack_serialize({"step": 3, "params_ema": {"scale": np.ones(2, np.float32)}}))
      ...     file.flush()
      ...     load(file.name)
      {'params_ema': {'scale': array([1., 1.], dtype=float32)}, 'step': 3}
    """
    try:
        with memory_map(path) as data:
            tree = _unpack(data, MAX_ITEMS)
        tree = _decode(tree, ())
        if type(tree) is not dict:
            raise CheckpointFormatError(f"holds {describe(tree)}, no map")
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{Path(path).name}: {error}") from None
    return tree


def _unpack(data: Any, max_items: int, raw: bool = False) -> Any:
    """One msgpack value, its extensions still packed."""
    room, max_items = MAX_NODES, min(max_items, len(data))

    def members(items: list[Any]) -> list[Any]:
        nonlocal room
        room -= 1 + len(items)
        if room < 0:
            raise CheckpointFormatError(f"has more than {MAX_NODES} entries")
        return items

    def pairs(items: list[tuple[Any, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in members(items):
            if type(key) is not str or key in result:
                raise CheckpointFormatError(f"a key is {describe(key)}, which is no text or occurs twice")
            result[key] = value
        return result

    try:
        return msgpack.unpackb(
            data, raw=raw, strict_map_key=False, object_pairs_hook=pairs, list_hook=members,
            max_array_len=max_items, max_map_len=max_items,
        )  # fmt: skip
    except CheckpointFormatError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise CheckpointFormatError(f"msgpack: {str(error)[:200] or type(error).__name__}") from None


def _decode(value: Any, path: tuple[str, ...]) -> Any:
    """The value with its extensions decoded, containers in place, so that what was packed is freed on the way."""
    if len(path) > MAX_DEPTH:
        raise _error(path, "is nested too deeply")
    if type(value) in (str, bytes, int, float, bool, type(None)):
        return value
    if type(value) is dict or type(value) is list:
        for key in value if type(value) is dict else range(len(value)):
            value[key] = _decode(value[key], (*path, str(key)))
        return _joined(value, path) if CHUNKED in value and type(value) is dict else value
    if type(value) is not msgpack.ExtType or value.code not in (ARRAY, COMPLEX, SCALAR):
        code = f"extension {value.code}" if type(value) is msgpack.ExtType else describe(value)
        raise _error(path, f"is {code}, which Flax does not write")
    try:
        parts = _unpack(value.data, 64, raw=True)
    except CheckpointFormatError as error:
        raise _error(path, str(error)) from None
    if value.code == COMPLEX:
        match parts:
            case [float(real), float(imaginary)]:
                return complex(real, imaginary)
        raise _error(path, "is no complex number")
    array = _array(parts, path)
    if value.code == ARRAY:
        return array
    if array.ndim:
        raise _error(path, f"is a scalar of shape {list(array.shape)}")
    return array[()]


def _array(parts: Any, path: tuple[str, ...]) -> np.ndarray:
    """[shape, name of the dtype, bytes] as an array, which shares the bytes."""
    match parts:
        case [[*shape], bytes(name), bytes(data)]:
            pass
        case _:
            raise _error(path, f"is packed as {describe(parts)}, not as shape, dtype and bytes")
    dtype = DTYPES.get(name.decode("ascii", "replace"))
    if dtype is None:
        raise _error(path, f"has dtype {describe(name)}, which is not allowed")
    _check_shape(shape, path, len(data), dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape)


def _joined(node: dict[str, Any], path: tuple[str, ...]) -> np.ndarray:
    """The array that a map of chunks stands for."""
    match [node.pop(CHUNKED), node]:
        case [True, {"shape": dict(shape), "chunks": dict(chunks), **more}] if chunks and not more:
            sizes, parts = _in_order(shape, path), _in_order(chunks, path)
        case _:
            raise _error(path, "is no map of a chunked array")
    if not all(type(part) is np.ndarray and part.ndim == 1 and part.dtype == parts[0].dtype for part in parts):
        raise _error(path, "has chunks that are not flat arrays of one dtype")
    _check_shape(sizes, path, sum(part.nbytes for part in parts), parts[0].itemsize)
    return np.concatenate(parts).reshape(sizes)


def _in_order(node: dict[str, Any], path: tuple[str, ...]) -> list[Any]:
    """The items of a sequence that was written as a map from "0", "1", ..."""
    if set(node) != {str(index) for index in range(len(node))}:
        raise _error(path, "has a sequence whose keys are not 0, 1, ...")
    return [node[str(index)] for index in range(len(node))]


def _check_shape(shape: Sequence[Any], path: tuple[str, ...], num_bytes: int, itemsize: int) -> None:
    """Raise unless the bytes fill the shape, which NumPy can make."""
    try:
        needed = math.prod(dimension(size) for size in shape) * itemsize
    except CheckpointFormatError as error:
        raise _error(path, f"has a wrong shape: {error}") from None
    # Empty arrays may be as long as they like in other directions, but not for NumPy.
    if needed != num_bytes or len(shape) > 32 or math.prod(size or 1 for size in shape) * itemsize >= 1 << 62:
        raise _error(path, f"has {num_bytes} bytes for shape {list(shape)[:40]} of {itemsize} bytes each")


def _error(path: tuple[str, ...], says: str) -> CheckpointFormatError:
    return CheckpointFormatError(f"{describe('/'.join(path) or '/')} {says}")
