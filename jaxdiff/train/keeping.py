"""Which checkpoints are kept: answers to Orbax's question."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class FirstOfEvery(NamedTuple):
    """The first at or after every multiple of `steps`."""

    steps: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        spans = [int(found.step) // self.steps for found in checkpoints]
        return [span > 0 and span not in spans[:i] for i, span in enumerate(spans)]


class Newest(NamedTuple):
    """So many of the newest, a number that is asked for anew each time."""

    number: Callable[[], int]

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        return [i >= len(checkpoints) - self.number() for i in range(len(checkpoints))]
