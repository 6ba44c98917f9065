"""How a person sees a training run: a bar on a terminal, a few lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from jaxdiff.train import hosts


@contextmanager
def progress(total: int, done: int) -> Iterator[tqdm]:
    """A bar over the steps, on process 0 and where standard error is a terminal.

    Args:
      total: steps in all; done: where this process starts.
    """
    disable = None if hosts.first() else True
    with tqdm(total=total, initial=done, desc="training", unit="step", disable=disable, file=sys.stderr) as bar:
        bar.n = done
        yield bar


def show(bar: tqdm, line: dict[str, Any], report: Callable[[str], None]) -> None:
    """A line of metrics on the bar; where there is none, about ten lines in all.

    Args:
      line: of metrics.jsonl.
      report: is told those lines.
    """
    before, done = bar.n, line["step"]
    bar.n = done
    losses = {name: f"{value:.4f}" for name, value in line.items() if name.endswith("loss")}
    bar.set_postfix(losses, images_per_s=line["images_per_second"])
    tenth = max(bar.total // 10, 1)
    if bar.disable and done // tenth > before // tenth:
        shown = ", ".join(f"{name} {value}" for name, value in losses.items())
        report(f"step {done}/{bar.total}: {shown}, {line['images_per_second']} images/s")
