"""Metrics of drawn images on their pixels, beside those of real images that the run did not train on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments import draw, sources
from experiments.system import System
from jaxdiff.data import digits, pipeline
from jaxdiff.metrics import digits as digit_metrics
from jaxdiff.metrics import pixels

MOST, NUMBERS = 5_000, 2**27
"""Real images that others are compared with, evenly spread over the data; and so many pixels of them at most."""
Judge = Callable[[NDArray, NDArray | None], dict[str, float]]


def judge(config: Any, system: System, source: pipeline.Source, unseen: pipeline.Source | None = None) -> Judge:
    """(images uint8, labels) -> metrics: the system's own data's, those of digits, or those of pixels.

    Args:
      source: what the run trains on; unseen: images that it does not, by default those that `sources.unseen` has.
    Returns: a function that raises ValueError when the images are not of the shape that the system draws.
    """
    if system.data is not None:
        return system.data.evaluate
    if config.data == "digits" and unseen is None:
        return of_digits
    unseen = sources.unseen(config.data, config.held_out) if unseen is None else unseen

    def of_pixels(images: NDArray, labels: NDArray | None) -> dict[str, float]:
        if images.shape[1:] != system.shape:
            raise ValueError(f"samples must be [N, {', '.join(map(str, system.shape))}], got {list(images.shape)}")
        real, heldout = (None if of is None else floats(some(of)) for of in (source, unseen))
        assert real is not None
        return pixels.report(floats(images), real, heldout)

    return of_pixels


def some(source: pipeline.Source) -> NDArray[np.uint8]:
    """At most `MOST` images of a source."""
    num = min(len(source), MOST, max(NUMBERS // source[0]["image"].size, 1))
    rows = np.linspace(0, len(source) - 1, num).round().astype(int)
    return draw.to_uint8(np.asarray(pipeline.take(source, rows)["image"]))


def floats(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Bytes in [-1, 1]."""
    return images / 127.5 - 1


def of_digits(images: NDArray, labels: NDArray | None) -> dict[str, float]:
    """Metrics of digits, and of real held-out digits beside them."""
    train, heldout = digits.load("train"), digits.load("heldout")
    halves = [(digits.to_pixels(half.images), half.labels) for half in (train, heldout)]
    return digit_metrics.report(digits.to_pixels(images), labels, *halves)


def show(metrics: dict[str, float]) -> None:
    """A line a metric, beside the floor of real held-out images where there are any."""
    tqdm.write(f"\n{'metric':<26}{'samples':>10}{'held-out':>10}")
    for name, value in metrics.items():
        if not name.startswith("heldout_"):
            floor = metrics.get(f"heldout_{name}")
            tqdm.write(f"{name:<26}{value:>10.4f}" + (f"{floor:>10.4f}" if floor is not None else ""))
