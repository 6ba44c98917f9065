"""metrics.jsonl: one JSON object a line, each step once, however often the run was broken off."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxdiff.atomic import atomic


class MetricsFile:
    """Lines of metrics, appended.

    Args:
      path: the file; lines after `done` and a half-written last line are dropped from it first.
      done: step at which this process starts.
      writes: False for a process that leaves the file to another.
    """

    def __init__(self, path: Path, done: int, writes: bool = True):
        self.path, self.done, self.since, self.writes = path, done, time.monotonic(), writes
        if not writes:
            return
        kept = [line for line in path.read_text().splitlines() if _step(line) <= done] if path.exists() else []
        with atomic(path, overwrite=True) as part:
            part.write_text("".join(line + "\n" for line in kept))

    def rate(self, done: int) -> float:
        """Compute the steps a second since the last call."""
        now = time.monotonic()
        rate = (done - self.done) / max(now - self.since, 1e-9)
        self.done, self.since = done, now
        return rate

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what happens within out of the rate."""
        began = time.monotonic()
        yield
        self.since += time.monotonic() - began

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        if not self.writes:
            return
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _step(line: str) -> float:
    """The step of a line; infinity for one that was not written whole."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
