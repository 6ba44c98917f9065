"""Read a pickle as data: nothing that it names is imported, and nothing but the caller's own functions is called.

A pickle is a program for a small stack machine. This is that machine without its dangerous half: a name in the file
("os.system") is a key of a table that the caller passes, never a path to import, and what the table lacks is refused.
"""

import pickletools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxdiff.interop.formats.plain_values import (
    Allowance,
    CheckpointFormatError,
    Global,
    Names,
    Record,
    describe,
    hashable,
    measure,
)
from jaxdiff.interop.formats.stand_ins import fill


def load_pickle(stream: Any, names: Names, allowance: Allowance, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Run one pickle and leave the stream behind its end.

    Args:
      stream: in memory or memory-mapped (io.BytesIO, mmap), so that no read is longer than what is there.
      names: what stands in for each name that the file may mention.
      allowance: shared by all pickles of one file.
      persistent: maps a persistent id (torch's reference to a storage) to its value.
    Returns: containers, numbers, text, bytes, arrays, `Global`s, and what `names` and `persistent` returned. No cycles,
      at most MAX_DEPTH deep and MAX_NODES large written out, so that it is safe to walk.
    Raises: CheckpointFormatError, which names what was met.
    Example:
      >>> import io, pickle
      >>> load_pickle(io.BytesIO(pickle.dumps({"a": [1, 2.5, None]})), {}, Allowance(100))
      {'a': [1, 2.5, None]}
      >>> load_pickle(io.BytesIO(b"cos\\nsystem\\n."), {}, Allowance(100))
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the file refers to 'os.system', which is not allowed
    """
    machine = _Machine(names, allowance, persistent)
    for opcode, arg in _opcodes(stream):
        allowance.count()
        if opcode == "STOP":
            break
        if opcode in CONSTANTS:
            machine.push(arg)
        elif opcode in CREATED:
            machine.push(CREATED[opcode]())
        elif opcode in STEPS:
            STEPS[opcode](machine, arg)
        else:
            raise CheckpointFormatError(f"opcode {opcode} {'' if arg is None else describe(arg)} is not allowed")
    result = machine.pop()
    measure(result)
    return result


def _opcodes(stream: Any) -> Iterator[tuple[str, Any]]:
    opcodes = pickletools.genops(stream)
    while True:
        try:
            opcode, arg, _ = next(opcodes)
        except StopIteration:
            return
        except Exception as error:  # genops has no error type of its own
            raise CheckpointFormatError(f"not a whole pickle: {str(error)[:200]}") from error
        if type(arg) is int and arg.bit_length() > 128:
            raise CheckpointFormatError(f"an integer has {arg.bit_length()} bits")
        yield opcode.name, bytes(arg) if isinstance(arg, bytearray) else arg


class _Machine:
    """The stack, in a list for each open mark, and the memo. A method is what one opcode does."""

    def __init__(self, names: Names, allowance: Allowance, persistent: Callable[[Any], Any] | None) -> None:
        self.names, self.allowance, self.persistent = names, allowance, persistent
        self.frames: list[list[Any]] = [[]]
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.frames[-1].append(value)

    def top(self) -> Any:
        if not self.frames[-1]:
            raise CheckpointFormatError("the pickle takes from an empty stack")
        return self.frames[-1][-1]

    def pop(self) -> Any:
        self.top()
        return self.frames[-1].pop()

    def pop_mark(self) -> list[Any]:
        if len(self.frames) == 1:
            raise CheckpointFormatError("the pickle closes a mark that it did not open")
        return self.frames.pop()

    def drop(self) -> None:
        """A mark may be dropped like a value."""
        if self.frames[-1]:
            self.pop()
        else:
            self.pop_mark()

    def get(self, key: int) -> None:
        if key not in self.memo:
            raise CheckpointFormatError(f"the pickle refers to memo {describe(key)}, which it did not store")
        self.push(self.memo[key])

    def put(self, key: int) -> None:
        self.memo[key] = self.top()

    def last(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def name(self, *parts: Any) -> None:
        text = ".".join(part if type(part) is str else describe(part) for part in parts)
        if text not in self.names:
            raise CheckpointFormatError(f"the file refers to {describe(text)}, which is not allowed")
        self.push(Global(text))

    def call(self) -> None:
        function, args = self.last(2)
        stand_in = self.names.get(function.name) if type(function) is Global else None
        if stand_in is None or type(args) is not tuple:
            raise CheckpointFormatError(f"the file calls {describe(function)} with {describe(args)}")
        # Charged at every use: one more use of a memoised argument costs the file only two bytes.
        self.allowance.spend(sum(len(arg) for arg in args if isinstance(arg, SIZED)))
        self.push(_guard(function.name, stand_in, *args))

    def persist(self) -> None:
        key = self.pop()
        if self.persistent is None:
            raise CheckpointFormatError(f"persistent id {describe(key)} has no meaning here")
        self.push(_guard("a persistent id", self.persistent, key))

    def build(self) -> None:
        value, state = self.last(2)
        if isinstance(value, Record) and value.state is None:
            value.state = state
        elif type(value) is np.ndarray:
            self.allowance.spend(sum(len(part) for part in state if type(part) is bytes) if type(state) is tuple else 0)
            _guard("numpy.ndarray", fill, value, state)
        elif isinstance(value, np.dtype) and type(state) is tuple and state[1:2] in (("<",), ("|",), ("=",)):
            pass  # the code that it was made from has all
        elif type(value) is dict and type(state) is dict:
            pass  # attributes of a dict, such as a state dict's _metadata
        else:
            raise CheckpointFormatError(f"the file sets the state of {describe(value)} to {describe(state)}")
        self.push(value)

    def add(self, kind: type, items: list[Any]) -> None:
        target = self.top()
        if kind is type(target) is dict and len(items) % 2 == 0:
            target.update(zip(map(hashable, items[::2]), items[1::2], strict=True))
        elif kind is type(target) is set:
            target.update(map(hashable, items))
        elif kind is type(target) is list:
            target.extend(items)
        else:
            raise CheckpointFormatError(f"{len(items)} items are added to {describe(target)} as to a {kind.__name__}")

    def new_dict(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.add(dict, items)


def _guard(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call one of our functions on what the file gave it."""
    try:
        return function(*args)
    except CheckpointFormatError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, MemoryError) as error:
        raise CheckpointFormatError(f"{describe(name)} is given what it cannot take: {str(error)[:200]}") from error


SIZED = str | bytes | list | tuple | dict | set | frozenset
CONSTANTS = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
CREATED: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, arg: None,
    "FRAME": lambda m, arg: None,
    "MARK": lambda m, arg: m.frames.append([]),
    "POP": lambda m, arg: m.drop(),
    "DUP": lambda m, arg: m.push(m.top()),
    "GET": lambda m, arg: m.get(arg),
    "BINGET": lambda m, arg: m.get(arg),
    "LONG_BINGET": lambda m, arg: m.get(arg),
    "PUT": lambda m, arg: m.put(arg),
    "BINPUT": lambda m, arg: m.put(arg),
    "LONG_BINPUT": lambda m, arg: m.put(arg),
    "MEMOIZE": lambda m, arg: m.put(len(m.memo)),
    "TUPLE1": lambda m, arg: m.push(tuple(m.last(1))),
    "TUPLE2": lambda m, arg: m.push(tuple(m.last(2))),
    "TUPLE3": lambda m, arg: m.push(tuple(m.last(3))),
    "TUPLE": lambda m, arg: m.push(tuple(m.pop_mark())),
    "LIST": lambda m, arg: m.push(m.pop_mark()),
    "DICT": lambda m, arg: m.new_dict(),
    "FROZENSET": lambda m, arg: m.push(frozenset(map(hashable, m.pop_mark()))),
    "APPEND": lambda m, arg: m.add(list, m.last(1)),
    "APPENDS": lambda m, arg: m.add(list, m.pop_mark()),
    "SETITEM": lambda m, arg: m.add(dict, m.last(2)),
    "SETITEMS": lambda m, arg: m.add(dict, m.pop_mark()),
    "ADDITEMS": lambda m, arg: m.add(set, m.pop_mark()),
    "GLOBAL": lambda m, arg: m.name(*arg.split(" ", 1)),
    "STACK_GLOBAL": lambda m, arg: m.name(*m.last(2)),
    "REDUCE": lambda m, arg: m.call(),
    "NEWOBJ": lambda m, arg: m.call(),
    "BUILD": lambda m, arg: m.build(),
    "BINPERSID": lambda m, arg: m.persist(),
}
