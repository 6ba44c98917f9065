"""Whether samples are copies: their distance to the nearest training image against that of unseen real images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxdiff.imports import needs
from jaxdiff.metrics.features import as_rows, check_same_width


class Memorisation(NamedTuple):
    """Median distances to the nearest training image, and the share of samples as near as 1 % of unseen images.

    `share_near_copies` is about 0.01 for samples that behave as unseen images do, and 1 for copies.
    """

    median_distance: float
    heldout_median_distance: float
    share_near_copies: float


def nearest_distance(points: ArrayLike, train: ArrayLike) -> NDArray[np.float64]:
    """Compute the Euclidean distance of each point to the nearest training point, [N]; exactly 0 for a copy.

    Args:
      points, train: features [N, d] and [M, d]; images are flattened.
    Raises: ValueError when shapes do not fit or a feature is not finite.
    Example:
      >>> nearest_distance([[0.0], [3.0]], [[1.0], [10.0]]).tolist()
      [1.0, 2.0]
    """
    points, train = as_rows("points", points), as_rows("train", train)
    check_same_width(points=points, train=train)
    with needs("metrics", __name__):
        from sklearn.neighbors import NearestNeighbors  # slow to import
    nearest = NearestNeighbors(n_neighbors=1).fit(train).kneighbors(points, return_distance=False)[:, 0]
    # The search expands |a - b|^2, which leaves copies at 1e-7; the difference itself does not.
    return np.linalg.norm(points - train[nearest], axis=1)


def near_share(distances: ArrayLike, unseen: ArrayLike) -> float:
    """Compute the share of distances that are at most the 1 % quantile of the held-out images' distances.

    Args:
      distances: from `nearest_distance` of samples.
      unseen: from `nearest_distance` of held-out images.
    Example:
      >>> near_share([0.0, 1.0, 2.0, 3.0], unseen=[1.0, 1.0])
      0.5
    """
    return float(np.mean(np.asarray(distances) <= np.quantile(np.asarray(unseen), 0.01)))


def memorisation(samples: ArrayLike, train: ArrayLike, heldout: ArrayLike) -> Memorisation:
    """Compare samples' distances to their nearest training image with those of held-out images.

    share_near_copies = mean over samples of [distance <= the 1 % quantile of the held-out images' distances]

    Medians below the held-out one alone do not prove copying: samples of a smoothed density lie nearer to everything.

    Args:
      samples, train, heldout: features [N, d] each; images are flattened.
    Raises: ValueError when shapes do not fit, a feature is not finite, or most held-out images are in `train`.
    Example:
      >>> train = np.arange(5.0)[:, None]
      >>> memorisation(train, train, train + 0.5).share_near_copies
      1.0
    """
    ours, unseen = nearest_distance(samples, train), nearest_distance(heldout, train)
    median = float(np.median(unseen))
    if median == 0:
        raise ValueError("heldout must be unseen, but at least half of it is in train")
    return Memorisation(float(np.median(ours)), median, near_share(ours, unseen))
