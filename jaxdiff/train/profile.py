"""Profiler traces of a few steps of a training run, by JAX's profiler."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

WARM = 2
"""Dispatches before a trace: the first compiles, and the second may still wait for it."""


class Profile:
    """Traces dispatches until they have made so many steps; what goes wrong is reported, and training goes on.

    The folder holds plugins/profile/TIME/ with HOST.xplane.pb, for XProf (`pip install xprof`, `xprof FOLDER`) and
    TensorBoard's profile plugin, and perfetto_trace.json.gz, which https://ui.perfetto.dev opens.

    Args:
      folder: gets the trace.
      steps: how many to trace, rounded up to whole dispatches; 0 for none.
      report: takes a line that says where the trace is, or why there is none.
    """

    def __init__(self, folder: Path, steps: int, report: Callable[[str], None]) -> None:
        self.folder, self.steps, self.report = folder, steps, report
        self.dispatches, self.first, self.last = 0, -1, -1
        self.over = not steps

    def after(self, done: int, values: Any) -> None:
        """Begin or end the trace where it is time; called after every dispatch.

        Args:
          done: the step reached.
          values: what the dispatch returned, to wait for.
        """
        if self.over:
            return
        self.dispatches, self.last = self.dispatches + 1, done
        try:
            if self.dispatches == WARM:
                jax.block_until_ready(values)  # earlier steps stay out of the trace
                jax.profiler.start_trace(self.folder, create_perfetto_trace=True)
                self.first = done
            elif self.first >= 0 and done - self.first >= self.steps:
                jax.block_until_ready(values)  # and the last one is in it
                self.close()
        except (RuntimeError, OSError, ValueError) as error:
            self.over = True
            self.report(f"no profile: {error}; training goes on")

    def close(self) -> None:
        """Write the trace, where one is open; what became of it is reported."""
        if self.over:
            return
        self.over = True
        if self.first < 0:
            self.report(f"no profile: it begins after {WARM} dispatches, and training ended after {self.dispatches}")
            return
        try:
            jax.profiler.stop_trace()
        except (RuntimeError, OSError, ValueError) as error:
            self.report(f"no profile: {error}; training goes on")
            return
        self.report(f"steps {self.first} to {self.last} are traced in {self.folder}")
