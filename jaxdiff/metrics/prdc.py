"""Precision and recall, density and coverage: quality and diversity apart, by k-nearest-neighbour manifolds."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxdiff.imports import needs
from jaxdiff.metrics.features import as_rows, check_same_width


class PRDC(NamedTuple):
    """Shares in [0, 1], but density, which may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


class Neighbourhoods(NamedTuple):
    """Image by image: in how many real balls a fake lies [M]; whether a real one lies in some fake ball [N]; whether
    its own ball holds some fake [N]. Means of them are the four numbers."""

    balls: NDArray[np.int64]
    recalled: NDArray[np.bool_]
    covered: NDArray[np.bool_]


def prdc(real: ArrayLike, fake: ArrayLike, k: int = 3) -> PRDC:
    """Measure how much of `fake` lies within the manifold of `real`, and the other way round.

    With r_k(x) the distance of x to its k-th nearest neighbour in its own set:
    precision = mean over fake y of [some real x has |x - y| <= r_k(x)];  recall the same with the sets exchanged
    density = mean over y of |{x: |x - y| <= r_k(x)}| / k;  coverage = mean over x of [some y has |x - y| <= r_k(x)]

    Args:
      real, fake: features [N, d] and [M, d]; images are flattened.
      k: neighbours, 1 <= k < min(N, M); Kynkaanniemi et al. take 3 for images, Naeem et al. 5. Precision, recall and
        coverage grow with k.
    Returns: the four numbers; distances are made in chunks, so that memory stays linear in N and M.
    Raises: ValueError when k or the shapes do not fit, or a feature is not finite.
    Reference: Kynkaanniemi et al. 2019 (arXiv 1904.06991), Eq. 1 and 2; Naeem et al. 2020 (arXiv 2002.09797), Eq. 3, 4.
    Example:
      >>> real = np.arange(10.0)[:, None]
      >>> prdc(real, real, k=2).recall
      1.0
    """
    balls, recalled, covered = neighbourhoods(real, fake, k)
    return PRDC(
        precision=float(np.mean(balls > 0)),
        recall=float(np.mean(recalled)),
        density=float(np.mean(balls) / k),
        coverage=float(np.mean(covered)),
    )


def neighbourhoods(real: ArrayLike, fake: ArrayLike, k: int = 3) -> Neighbourhoods:
    """Compute what `prdc` takes the means of, for error bars that leave the manifolds as they are.

    Args:
      real, fake, k: as `prdc`.
    Raises: ValueError as `prdc`.
    Example:
      >>> neighbourhoods([[0.0], [1.0], [9.0]], [[0.5], [5.0]], k=1).balls.tolist()
      [2, 1]
    """
    real, fake = as_rows("real", real), as_rows("fake", fake)
    check_same_width(real=real, fake=fake)
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(f"k must be at least 1 and below both set sizes {len(real)}, {len(fake)}, got {k}")
    radius_real, radius_fake = _radius(real, k), _radius(fake, k)
    balls = np.zeros(len(fake), np.int64)
    covered, recalled = np.zeros(len(real), bool), np.zeros(len(real), bool)
    start = 0
    for distance in _distances(fake, real):
        chunk = slice(start, start + len(distance))
        inside = distance <= radius_real[None]
        balls[chunk] = inside.sum(axis=1)
        covered |= inside.any(axis=0)
        recalled |= (distance <= radius_fake[chunk, None]).any(axis=0)
        start = chunk.stop
    return Neighbourhoods(balls, recalled, covered)


def _distances(*points: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Distances of each point to each other, or to each of a second set, in chunks of rows."""
    with needs("metrics", __name__):
        from sklearn.metrics import pairwise_distances_chunked  # slow to import
    return pairwise_distances_chunked(*points)


def _radius(points: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Distance of each point to its k-th nearest neighbour; its distance 0 to itself is not counted."""
    radius = np.concatenate([np.partition(chunk, k, axis=1)[:, k] for chunk in _distances(points)])
    # That neighbour, and a copy of it, lies on the ball's rim, and must not fall out by another product's rounding.
    return radius * (1 + 1e-9)
