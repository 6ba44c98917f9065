"""Watching a run from outside: one small interface, behind which are TensorBoard, Weights & Biases or anything else.

`loop.fit` writes metrics.jsonl first and always, and then tells its monitors; none of them can stop training.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np


class Monitor(Protocol):
    """What is told of a run, in the order of its steps; `fit` calls it on process 0 only."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """The numbers of a line of metrics.jsonl, without its step."""

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """An image, uint8 [H, W, C], C = 1 or 3."""

    def close(self) -> None:
        """Let go; what was told before is kept."""


class Opening(NamedTuple):
    """A monitor that is yet to be opened: `fit` alone knows from which step a run goes on.

    name: what a person calls it.
    open(done, config) -> Monitor; what is told later has steps after `done`, and what an earlier process told of them
    counts no more; config: JSON values that describe the run.
    """

    name: str
    open: Callable[[int, dict[str, Any]], Monitor]


def imported(package: str, extra: str) -> Any:
    """A package that only an extra of jaxdiff brings.

    Raises: ValueError where it cannot be imported, naming the extra.
    Example:
      >>> imported("no_such_package", "tensorboard")
      Traceback (most recent call last):
      ValueError: tensorboard needs no_such_package (No module named 'no_such_package'): pip install \
'jaxdiff[tensorboard]'
    """
    try:
        return importlib.import_module(package)
    except Exception as error:  # packages made for another protobuf raise whatever it raises
        raise ValueError(f"{extra} needs {package} ({error}): pip install 'jaxdiff[{extra}]'") from error


class Monitors:
    """Several monitors as one that never raises: what fails is reported once, and told nothing more.

    Args:
      openings: of what to open; what cannot be opened is reported, too.
      done, config: as `Opening` has them.
      report: is told what failed, a line at a time.
    """

    def __init__(
        self, openings: Sequence[Opening], done: int, config: dict[str, Any], report: Callable[[str], None]
    ) -> None:
        self.report = report
        self.open: dict[str, Monitor] = {}
        for name, start in openings:
            try:
                self.open[name] = start(done, config)
            except Exception as error:
                self._failed(name, error)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Tell all."""
        self._each(lambda monitor: monitor.scalars(step, values))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Show all."""
        self._each(lambda monitor: monitor.image(step, name, image))

    def close(self) -> None:
        """Close all."""
        self._each(lambda monitor: monitor.close())

    def _each(self, tell: Callable[[Monitor], None]) -> None:
        for name, monitor in list(self.open.items()):
            try:
                tell(monitor)
            except Exception as error:  # a service's package has errors of its own
                # Not tried again: a half-written record would make what follows it unreadable.
                del self.open[name]
                self._failed(name, error)
                with suppress(Exception):
                    monitor.close()

    def _failed(self, name: str, error: Exception) -> None:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        self.report(f"{name} failed ({reason}); training goes on without it")
