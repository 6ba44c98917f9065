"""Functions that stand in for the names that pickles of plain containers and NumPy arrays mention."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxdiff.interop.formats.plain_values import (
    CheckpointFormatError,
    Global,
    Names,
    Record,
    describe,
    dimension,
    hashable,
)


def _encode(text: str, encoding: str = "utf-8") -> bytes:
    # How protocol 2 writes bytes.
    if encoding != "latin1" or type(text) is not str:
        raise CheckpointFormatError(f"{describe(text)} is encoded as {describe(encoding)}")
    return text.encode(encoding)


def _dtype(code: str, align: bool = False, copy: bool = True) -> np.dtype:
    if not (type(code) is str and re.fullmatch(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}", code)):
        raise CheckpointFormatError(f"numpy dtype {describe(code)} is not allowed")
    return np.dtype(code)


def _empty(kind: Global, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """An array before its state arrives; `fill` gives it."""
    if kind != Global("numpy.ndarray") or shape != (0,):
        raise CheckpointFormatError(f"an array starts as {describe(kind)} with shape {describe(shape)}")
    return np.empty(0, np.int8)


def _from_buffer(data: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def fill(array: np.ndarray, state: Any) -> None:
    """Fill an array made by `_empty`, in place, since others may hold it already.

    Args:
      array: of shape (0,).
      state: what NumPy pickles: version, shape, dtype, order and bytes.
    Raises: CheckpointFormatError when the state is not that of an array of numbers.
    Example:
      >>> array = np.empty(0, np.int8)
      >>> fill(array, (1, (2,), np.dtype("u1"), False, bytes([3, 4])))
      >>> array.tolist()
      [3, 4]
    """
    match state:
        case (1, tuple(shape), np.dtype() as dtype, bool(fortran), bytes(data)) if array.shape == (0,):
            np.frombuffer(data, dtype).reshape([dimension(n) for n in shape])  # raises where they do not fit
            array.__setstate__((1, shape, dtype, fortran, data))  # type: ignore[arg-type]
        case _:
            raise CheckpointFormatError(f"an array's state is {describe(state)}")


def _members(items: Iterable[Any] = ()) -> list[Any]:
    """Members of a set in a file."""
    return [hashable(item) for item in items]


def _mapping(items: Iterable[Any] = ()) -> dict[Any, Any]:
    """A dict, whatever class of dict the file names."""
    return {hashable(key): value for key, value in (items.items() if isinstance(items, dict) else items)}


def _bytes(data: bytes = b"") -> bytes:
    # bytearray(10**12) would allocate
    if type(data) is not bytes:
        raise CheckpointFormatError(f"bytes are made of {describe(data)}")
    return data


PLAIN: Names = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda factory=None, *items: _mapping(*items),
    "dnnlib.util.EasyDict": _mapping,
    "argparse.Namespace": lambda *args: Record("argparse.Namespace", *args),
    "_codecs.encode": _encode,
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    **{
        f"{module}.{name}": function
        for module in ("builtins", "__builtin__")  # Python 3 and 2
        for name, function in (
            ("set", lambda items=(): set(_members(items))),
            ("frozenset", lambda items=(): frozenset(_members(items))),
            ("bytes", _bytes),
            ("bytearray", _bytes),
            ("complex", complex),
            ("dict", None),
            ("list", None),
            ("int", None),
            ("float", None),
        )
    },
    **{
        f"numpy.{core}.{name}": function
        for core in ("core", "_core")  # numpy 1 and 2
        for name, function in (
            ("multiarray._reconstruct", _empty),
            ("multiarray.scalar", lambda dtype, data: np.frombuffer(data, dtype, 1)[0]),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
