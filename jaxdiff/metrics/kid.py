"""The kernel Inception distance: squared maximum mean discrepancy under a cubic kernel, unbiased at any sample size."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxdiff.metrics.features import as_rows, check_same_width


class KID(NamedTuple):
    """Mean over the subsets, their standard deviation as papers report it, and the standard error of the mean.

    The error is that of all images drawn anew, which is smaller than the deviation of a subset; nan where one subset
    is all there is.
    """

    mean: float
    std: float
    error: float


def squared_mmd(a: ArrayLike, b: ArrayLike) -> float:
    """Estimate E k(a, a') + E k(b, b') - 2 E k(a, b) without bias, with k(x, y) = (x . y / d + 1)^3.

    Args:
      a, b: features [N, d] and [M, d], N and M >= 2; images are flattened.
    Returns: 0 in expectation where both are draws of one distribution, so that it may be negative.
    Raises: ValueError when shapes do not fit or a feature is not finite.
    Reference: Gretton et al. 2012, Eq. 3; Binkowski et al. 2018 (1801.01401), section 4, for the kernel.
    Example:
      >>> squared_mmd([[0.0], [0.0]], [[1.0], [1.0]])
      7.0
    """
    a, b = as_rows("a", a, least=2), as_rows("b", b, least=2)
    check_same_width(a=a, b=b)
    return _within(a) + _within(b) - 2 * float(_kernel(a, b).mean())


def kid(real: ArrayLike, fake: ArrayLike, subsets: int = 100, size: int = 1_000, seed: int = 0) -> KID:
    """Average `squared_mmd` over random subsets of both sets, so that 50,000 images fit in memory and time.

    Args:
      real, fake: features [N, d] and [M, d].
      subsets: how many, >= 2.
      size: of each, without replacement, at most the smaller set. Binkowski et al. take 100 subsets of 1,000.
      seed: of the subsets.
    Raises: ValueError when there are fewer than 2 features, subsets or images a subset, or shapes do not fit.
    Reference: Binkowski et al. 2018, section 4. Many papers report 1,000 times this value.
    Example:
      >>> real = np.random.default_rng(0).normal(size=(200, 2))
      >>> kid(real, real + 1, subsets=5, size=100).mean > 1
      True
    """
    real, fake = as_rows("real", real, least=2), as_rows("fake", fake, least=2)
    check_same_width(real=real, fake=fake)
    if subsets < 2 or size < 2:
        raise ValueError(f"subsets and size must be at least 2, got {subsets}, {size}")
    smaller = min(len(real), len(fake))
    size = min(size, smaller)
    random = np.random.default_rng(seed)
    values = [
        squared_mmd(*(points[random.choice(len(points), size, replace=False)] for points in (real, fake)))
        for _ in range(subsets)
    ]
    std = float(np.std(values, ddof=1))
    # A subset's variance is that of all times smaller / size, less what is shared by drawing without repetition.
    share = size / smaller
    error = std * (share / (1 - share)) ** 0.5 if share < 1 else float("nan")
    return KID(float(np.mean(values)), std, error)


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _within(a: NDArray[np.float64]) -> float:
    """Mean of the kernel over different points of one set."""
    kernel = _kernel(a, a)
    return float((kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1)))
