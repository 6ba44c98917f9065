"""25 Gaussians as an experiment's data: points, and how many modes drawn points reach."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from experiments.harness.datasets import named
from experiments.harness.forms import POINTS, scatter
from experiments.harness.system import Dataset, DatasetInfo
from jaxdiff.data import gaussians
from jaxdiff.data.pipeline import ArraySource, Source
from jaxdiff.metrics import modes


def dataset(load: Callable[[], Source], scale: float = 1.0, **others: Any) -> Dataset:
    """Return points of the 5x5 grid, `scale` times as large; metrics are modes, share of high quality, and KL.

    Args:
      load: reads the training points; others: fields of `Dataset`.
    """
    means = scale * np.asarray(gaussians.grid().means)

    def evaluate(points: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
        return modes.mixture_coverage(points, means, scale * gaussians.STD)._asdict()

    form = POINTS._replace(picture=partial(scatter, means=means))
    return named("25gaussians", DatasetInfo((2,), 0), load, lambda: None, evaluate=evaluate, form=form, **others)


def points(num: int, seed: int) -> Source:
    """Return so many training points, drawn once."""
    return ArraySource(image=gaussians.load(num, seed)[0])
