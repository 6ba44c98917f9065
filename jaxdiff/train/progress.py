"""The progress of a training run: a bar on a terminal, a few lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from jaxdiff.train import hosts


@contextmanager
def progress(total: int, done: int) -> Iterator[tqdm]:
    """Show a bar over the steps, on process 0 and where standard error is a terminal.

    Args:
      total: steps in all.
      done: step at which this process starts.
    Example:
      >>> with progress(total=10, done=4) as bar:
      ...     bar.n, bar.total
      (4, 10)
    """
    disable = None if hosts.is_primary() else True
    with tqdm(total=total, initial=done, desc="training", unit="step", disable=disable, file=sys.stderr) as bar:
        bar.n = done
        yield bar


def show(bar: tqdm, line: dict[str, Any], report: Callable[[str], None]) -> None:
    """Show a line of metrics on the bar; where there is none, report about ten lines in all.

    Args:
      bar: from `progress`.
      line: of metrics.jsonl.
      report: takes those lines.
    Example:
      >>> line = {"step": 5, "loss": 0.25, "images_per_second": 8.0}
      >>> show(tqdm(total=10, disable=True), line, print)
      step 5/10: loss 0.2500, 8.0 images/s
    """
    before, done = bar.n, line["step"]
    bar.n = done
    losses = {name: f"{value:.4f}" for name, value in line.items() if name.endswith("loss")}
    bar.set_postfix(losses, images_per_s=line["images_per_second"])
    tenth = max(bar.total // 10, 1)
    if bar.disable and done // tenth > before // tenth:
        shown = ", ".join(f"{name} {value}" for name, value in losses.items())
        report(f"step {done}/{bar.total}: {shown}, {line['images_per_second']} images/s")
