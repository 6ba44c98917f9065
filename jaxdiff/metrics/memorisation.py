"""Whether samples are copies: their distance to the nearest training image against that of unseen real images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors


class Memorisation(NamedTuple):
    """Median distances to the nearest training image, and the share of samples nearer than 99 % of unseen images.

    `share_near_copies` is 0.01 for samples that behave as unseen images do, and 1 for copies.
    """

    median_distance: float
    heldout_median_distance: float
    share_near_copies: float


def nearest_distance(points: ArrayLike, train: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distance of each point to the nearest training point, [N].

    Example:
      >>> nearest_distance([[0.0], [3.0]], [[1.0], [10.0]]).tolist()
      [1.0, 2.0]
    """
    points, train = (np.asarray(a, np.float64).reshape(len(np.asarray(a)), -1) for a in (points, train))
    distance, _ = NearestNeighbors(n_neighbors=1).fit(train).kneighbors(points)
    return distance[:, 0]


def memorisation(samples: ArrayLike, train: ArrayLike, heldout: ArrayLike) -> Memorisation:
    """Nearest-training-neighbour distances of samples beside those of held-out images.

    Args:
      samples, train, heldout: features [N, d] each; images are flattened.
    Example:
      >>> train = np.arange(5.0)[:, None]
      >>> memorisation(train, train, train + 0.5).share_near_copies
      1.0
    """
    ours, unseen = nearest_distance(samples, train), nearest_distance(heldout, train)
    near = float(np.mean(ours < np.quantile(unseen, 0.01)))
    return Memorisation(float(np.median(ours)), float(np.median(unseen)), near)
