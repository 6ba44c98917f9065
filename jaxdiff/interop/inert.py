"""What a file can turn into: plain containers, numbers, text, arrays, and names and records that do nothing."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

# A name that a file may mention -> our function that stands in for it; None where it may be mentioned but not called.
Names = Mapping[str, Callable[..., Any] | None]

MAX_DEPTH = 100  # of containers in containers
MAX_NODES = 20_000_000  # of a result written out, where what is shared counts as often as it occurs
SLACK = 1 << 20
SCALARS = (str, bytes, int, float, complex, bool, type(None), np.generic)


class CheckpointFormatError(ValueError):
    """A file is truncated, foreign or hostile, or holds what no checkpoint needs; the message names what was met."""


class Global(NamedTuple):
    """A name met in a file, as text: "torch.float32"."""

    name: str


class Record:
    """An object whose class is never built: the name of the class, its constructor's arguments, its state."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name, self.args = name, args
        self.state: Any = None


class Budget:
    """What one file may make its reader do: opcodes in all, and bytes of arguments and arrays."""

    def __init__(self, num_bytes: int, opcodes: int = 2_000_000) -> None:
        self.num_bytes, self.opcodes = num_bytes + SLACK, opcodes

    def spend(self, num_bytes: int) -> None:
        """Raises: CheckpointFormatError when the file asks for more than it can hold."""
        self.num_bytes -= num_bytes
        if self.num_bytes < 0:
            raise CheckpointFormatError(f"the file asks for {num_bytes} bytes more than a file of its size can hold")

    def count(self) -> None:
        """Raises: CheckpointFormatError when there are too many opcodes."""
        self.opcodes -= 1
        if self.opcodes < 0:
            raise CheckpointFormatError("the pickle has too many opcodes")


def describe(value: Any) -> str:
    """A value in an error message: short, and never by its own repr where that could be long or deep.

    Example:
      >>> describe(Global("os.system")), describe({"a": 1}), describe("x" * 99)[:8]
      ("'os.system'", 'dict of 1', "'xxxxxxx")
    """
    if isinstance(value, Global):
        return describe(value.name)
    if isinstance(value, Record):
        return f"an object of class {describe(value.name)}"
    if isinstance(value, str | bytes):
        return repr(value[:80]) + ("..." if len(value) > 80 else "")
    if isinstance(value, int | float | np.generic | type(None)) and not (
        type(value) is int and value.bit_length() > 64
    ):
        return repr(value)[:80]
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, list | tuple | dict | set | frozenset) else kind


def hashable(key: Any) -> Any:
    """A dict's key or a set's member: a scalar or a short tuple of them, since hashing recurses without a limit."""
    flat = isinstance(key, tuple) and len(key) <= 16 and all(isinstance(item, SCALARS) for item in key)
    if not (flat or isinstance(key, SCALARS)):
        raise CheckpointFormatError(f"a key is {describe(key)}")
    return key


def measure(value: Any, level: int = 0, seen: dict[int, tuple[int, int] | None] | None = None) -> tuple[int, int]:
    """(nodes, depth) of a value written out as a tree, each shared part measured once.

    Raises: CheckpointFormatError beyond MAX_NODES or MAX_DEPTH, and where a container holds itself.
    Example:
      >>> twice = [1, 2]
      >>> measure([twice, twice])
      (7, 1)
    """
    if isinstance(value, dict):
        children: Iterable[Any] = value.values()
    elif isinstance(value, list | tuple):
        children = value
    elif isinstance(value, Record):
        children = (value.args, value.state)
    else:
        return 1 + (len(value) if isinstance(value, set | frozenset) else 0), 0
    seen = {} if seen is None else seen
    known = seen.get(id(value), (0, 0))
    if known is None:
        raise CheckpointFormatError(f"{describe(value)} holds itself")
    nodes, depth = known
    if level <= MAX_DEPTH and not nodes:
        seen[id(value)] = None
        sizes = [measure(child, level + 1, seen) for child in children if not isinstance(child, SCALARS)]
        nodes = 1 + len(value.args if isinstance(value, Record) else value) + sum(size - 1 for size, _ in sizes)
        depth = max((below + 1 for _, below in sizes), default=0)
        seen[id(value)] = nodes, depth
    if level + depth > MAX_DEPTH or nodes > MAX_NODES:
        raise CheckpointFormatError(f"{describe(value)} is nested too deeply or repeats itself too often")
    return nodes, depth


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
    """Give an array made by `_empty` its content, in place since others may hold it already.

    Raises: CheckpointFormatError when the state is not that of an array of numbers.
    """
    match state:
        case (1, tuple(shape), np.dtype() as dtype, bool(fortran), bytes(data)) if array.shape == (0,):
            np.frombuffer(data, dtype).reshape([dimension(n) for n in shape])  # raises where they do not fit
            array.__setstate__((1, shape, dtype, fortran, data))  # type: ignore[arg-type]
        case _:
            raise CheckpointFormatError(f"an array's state is {describe(state)}")


def dimension(value: Any) -> int:
    """A length, offset or stride from a file.

    Raises: CheckpointFormatError unless it is an integer in [0, 2^48).
    """
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise CheckpointFormatError(f"a size, stride or offset is {describe(value)}")
    return value


def members(items: Iterable[Any] = ()) -> list[Any]:
    """Members of a set in a file."""
    return [hashable(item) for item in items]


def mapping(items: Iterable[Any] = ()) -> dict[Any, Any]:
    """A dict, whatever class of dict the file names."""
    return {hashable(key): value for key, value in (items.items() if isinstance(items, dict) else items)}


def _bytes(data: bytes = b"") -> bytes:
    # bytearray(10**12) would allocate
    if type(data) is not bytes:
        raise CheckpointFormatError(f"bytes are made of {describe(data)}")
    return data


PLAIN: Names = {
    "collections.OrderedDict": mapping,
    "collections.defaultdict": lambda factory=None, *items: mapping(*items),
    "dnnlib.util.EasyDict": mapping,
    "argparse.Namespace": lambda *args: Record("argparse.Namespace", *args),
    "_codecs.encode": _encode,
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    **{
        f"{module}.{name}": function
        for module in ("builtins", "__builtin__")  # Python 3 and 2
        for name, function in (
            ("set", lambda items=(): set(members(items))),
            ("frozenset", lambda items=(): frozenset(members(items))),
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
