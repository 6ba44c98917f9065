"""What a file can turn into: plain containers, numbers, text, arrays, and names and records that do nothing."""

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


class Allowance:
    """What reading one file may cost: opcodes in all, and bytes of arguments and arrays."""

    def __init__(self, num_bytes: int, opcodes: int = 2_000_000) -> None:
        self.num_bytes, self.opcodes = num_bytes + SLACK, opcodes

    def spend(self, num_bytes: int) -> None:
        """Spend bytes.

        Raises: CheckpointFormatError when the file asks for more than it can hold.
        """
        self.num_bytes -= num_bytes
        if self.num_bytes < 0:
            raise CheckpointFormatError(f"the file asks for {num_bytes} bytes more than a file of its size can hold")

    def count(self) -> None:
        """Count one opcode.

        Raises: CheckpointFormatError when there are too many.
        """
        self.opcodes -= 1
        if self.opcodes < 0:
            raise CheckpointFormatError("the pickle has too many opcodes")


def describe(value: Any) -> str:
    """Describe a value in an error message: short, and never by its own repr where that could be long or deep.

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
    """Check a dict's key or a set's member: a scalar or a short tuple of them, since hashing recurses without a limit.

    Returns: the key.
    Raises: CheckpointFormatError for other keys.
    Example:
      >>> hashable(("a", 1))
      ('a', 1)
    """
    flat = isinstance(key, tuple) and len(key) <= 16 and all(isinstance(item, SCALARS) for item in key)
    if not (flat or isinstance(key, SCALARS)):
        raise CheckpointFormatError(f"a key is {describe(key)}")
    return key


def measure(value: Any, depth_above: int = 0, seen: dict[int, tuple[int, int] | None] | None = None) -> tuple[int, int]:
    """Measure a value written out as a tree, each shared part once: (nodes, depth).

    Args:
      value: of a file.
      depth_above, seen: of the recursion: containers around the value, and sizes of parts by their id.
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
    size = seen.get(id(value), (0, 0))
    if size is None:
        raise CheckpointFormatError(f"{describe(value)} holds itself")
    nodes, depth = size
    if depth_above <= MAX_DEPTH and not nodes:
        seen[id(value)] = None
        sizes = [measure(child, depth_above + 1, seen) for child in children if not isinstance(child, SCALARS)]
        nodes = 1 + len(value.args if isinstance(value, Record) else value) + sum(size - 1 for size, _ in sizes)
        depth = max((below + 1 for _, below in sizes), default=0)
        seen[id(value)] = nodes, depth
    if depth_above + depth > MAX_DEPTH or nodes > MAX_NODES:
        raise CheckpointFormatError(f"{describe(value)} is nested too deeply or repeats itself too often")
    return nodes, depth


def dimension(value: Any) -> int:
    """Check a length, offset or stride from a file.

    Returns: the integer.
    Raises: CheckpointFormatError unless it is an integer in [0, 2^48).
    Example:
      >>> dimension(-1)
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: a size, stride or offset is -1
    """
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise CheckpointFormatError(f"a size, stride or offset is {describe(value)}")
    return value
