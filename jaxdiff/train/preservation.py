"""Preservation policies of Orbax: which checkpoints are kept."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class FirstOfEvery(NamedTuple):
    """Keeps the first at or after every multiple of `steps`."""

    steps: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Return which checkpoints are kept.

        Args:
          checkpoints: by step; context: Orbax's, not used.
        """
        spans = [int(found.step) // self.steps for found in checkpoints]
        return [span > 0 and span not in spans[:i] for i, span in enumerate(spans)]


class Newest(NamedTuple):
    """Keeps the newest `number()`, called at every save."""

    number: Callable[[], int]

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Return which checkpoints are kept.

        Args:
          checkpoints: by step; context: Orbax's, not used.
        """
        return [i >= len(checkpoints) - self.number() for i in range(len(checkpoints))]
