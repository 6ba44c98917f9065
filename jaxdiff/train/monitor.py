"""Monitoring a run: one small interface, behind which are TensorBoard, Weights & Biases or anything else.

`loop.fit` writes metrics.jsonl first and always, and then calls its monitors; none of them can stop training.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np


class Monitor(Protocol):
    """Receives a run's metrics and images in the order of its steps; `fit` calls it on process 0 only."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Record the numbers of a line of metrics.jsonl.

        Args:
          step: of the line.
          values: its numbers by name.
        """

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image.

        Args:
          step: of the state that it shows.
          name: under which the monitor groups images.
          image: uint8 [H, W, C], C = 1 or 3.
        """

    def close(self) -> None:
        """Finish; what was recorded is kept."""


class MonitorFactory(NamedTuple):
    """Makes a monitor: `fit` alone knows from which step a run goes on.

    name: for messages.
    open(done, config) -> Monitor; what follows has steps after `done`, and what an earlier process recorded of them
    counts no more; config: JSON values that describe the run.
    """

    name: str
    open: Callable[[int, dict[str, Any]], Monitor]


class Monitors:
    """Several monitors as one that never raises: one that fails is reported once, closed and not called again.

    Args:
      factories: of the monitors; one that cannot be opened is reported, too.
      done, config: as `MonitorFactory` has them.
      report: takes a line for each that failed.
    """

    def __init__(
        self, factories: Sequence[MonitorFactory], done: int, config: dict[str, Any], report: Callable[[str], None]
    ) -> None:
        self.report = report
        self.open: dict[str, Monitor] = {}
        for name, start in factories:
            try:
                self.open[name] = start(done, config)
            except Exception as error:
                self._failed(name, error)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Record the numbers of a line with all.

        Args:
          step, values: as `Monitor` has them.
        """
        self._each(lambda monitor: monitor.scalars(step, values))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image with all.

        Args:
          step, name, image: as `Monitor` has them.
        """
        self._each(lambda monitor: monitor.image(step, name, image))

    def close(self) -> None:
        """Close all."""
        self._each(lambda monitor: monitor.close())

    def _each(self, record: Callable[[Monitor], None]) -> None:
        for name, monitor in list(self.open.items()):
            try:
                record(monitor)
            except Exception as error:  # a service's package has errors of its own
                # Not tried again: a half-written record would make what follows it unreadable.
                del self.open[name]
                self._failed(name, error)
                with suppress(Exception):
                    monitor.close()

    def _failed(self, name: str, error: Exception) -> None:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        self.report(f"{name} failed ({reason}); training goes on without it")
