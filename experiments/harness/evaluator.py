"""Metrics of drawn images on their pixels, with those of real images that the run did not train on."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.harness.forms import to_uint8
from jaxdiff.data import digits, pipeline
from jaxdiff.data.pipeline import Source
from jaxdiff.metrics import reports

MOST, NUMBERS = 5_000, 2**27
"""Real images that others are compared with, evenly spread over the data; and so many pixels of them at most."""
Evaluator = Callable[[NDArray, NDArray | None], dict[str, float]]


def of_pixels(shape: tuple[int, ...], source: Source, heldout: Source | None) -> Evaluator:
    """Return (images uint8, labels) -> metrics of their pixels.

    Args:
      shape: (H, W, C) of the images; source: what the run trains on; heldout: images that it does not.
    Returns: a function that raises ValueError when the images are of another shape.
    """

    def evaluate(images: NDArray, labels: NDArray | None) -> dict[str, float]:
        if images.shape[1:] != shape:
            raise ValueError(f"samples must be [N, {', '.join(map(str, shape))}], got {list(images.shape)}")
        real, others = (None if of is None else floats(some(of)) for of in (source, heldout))
        assert real is not None
        return reports.pixel_report(floats(images), real, others)

    return evaluate


def some(source: Source) -> NDArray[np.uint8]:
    """Return at most `MOST` images of a source."""
    num = min(len(source), MOST, max(NUMBERS // source[0]["image"].size, 1))
    rows = np.linspace(0, len(source) - 1, num).round().astype(int)
    return to_uint8(np.asarray(pipeline.take(source, rows)["image"]))


def floats(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert bytes to floats in [-1, 1]."""
    return images / 127.5 - 1


def of_digits(images: NDArray, labels: NDArray | None) -> dict[str, float]:
    """Compute metrics of digits, and of real held-out digits."""
    train, heldout = digits.load("train"), digits.load("heldout")
    halves = [(digits.to_pixels(half.images), half.labels) for half in (train, heldout)]
    return reports.digit_report(digits.to_pixels(images), labels, *halves)


def show(metrics: dict[str, float]) -> None:
    """Print a line a metric, with the value of real held-out images where there are any."""
    tqdm.write(f"\n{'metric':<26}{'samples':>10}{'held-out':>10}")
    for name, value in metrics.items():
        if not name.startswith("heldout_"):
            floor = metrics.get(f"heldout_{name}")
            tqdm.write(f"{name:<26}{value:>10.4f}" + (f"{floor:>10.4f}" if floor is not None else ""))
