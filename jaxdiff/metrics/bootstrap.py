"""Error bars by the bootstrap: how far a metric moves when its images are resampled with replacement."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def standard_error(
    statistic: Callable[[NDArray[np.intp]], float], num: int, resamples: int = 20, seed: int = 0
) -> float:
    """Estimate the standard deviation of statistic(rows) over random rows, `num` of `num` with replacement.

    Only the spread is used: a metric that is biased at finite sizes, such as the Frechet distance, is biased once more
    in every resample. With 20 of them the error itself has an error of about 16 %.

    Args:
      statistic: of the rows [num] of what the caller closes over.
      num: of rows, >= 2.
      resamples: >= 2.
      seed: of the rows.
    Raises: ValueError when num or resamples is below 2.
    Reference: Efron 1979.
    Example:
      >>> x = np.random.default_rng(0).normal(size=10_000)
      >>> abs(standard_error(lambda rows: x[rows].mean(), len(x), resamples=200) - 0.01) < 0.002
      True
    """
    if num < 2 or resamples < 2:
        raise ValueError(f"num and resamples must be at least 2, got {num}, {resamples}")
    random = np.random.default_rng(seed)
    values = [statistic(random.integers(num, size=num)) for _ in range(resamples)]
    return float(np.std(values, ddof=1))
