"""Metrics of drawn images on their pixels alone, each beside what real images that nobody trained on reach."""

import numpy as np
from numpy.typing import NDArray

from jaxdiff.metrics import frechet, memorisation, prdc

NEIGHBOURS = 3


def report(samples: NDArray, train: NDArray, heldout: NDArray | None = None) -> dict[str, float]:
    """Metrics of samples against training images, and of held-out images against the same (`heldout_...`).

    frechet_pixels: Frechet distance of the pixels. Not an FID: no network is involved.
    precision, recall, density, coverage: `prdc`, k = 3.
    nearest_train_distance, share_near_copies: median distance to the nearest training image, and the share of
      samples as near as the nearest 1 % of held-out images: `memorisation`.

    Args:
      samples, train, heldout: [N, H, W, C] on one scale. What needs more images than a set has, two for a covariance
        and four for three neighbours, is left out, as is the share where half of the held-out images are in `train`.
    Returns: a flat dict of numbers. A finite set has a Frechet distance above that of its distribution, the more so
      the smaller it is: compare sets of similar size.
    Raises: ValueError when shapes differ or a pixel is not finite.
    Example:
      >>> images = np.arange(32.0).reshape(8, 2, 2, 1)
      >>> found = report(images, images)
      >>> found["precision"], found["nearest_train_distance"], "share_near_copies" in found
      (1.0, 0.0, False)
    """
    found: dict[str, float] = {}
    for prefix, images in (("", samples), ("heldout_", heldout)):
        if images is None:
            continue
        if min(len(images), len(train)) > 1:
            found[f"{prefix}frechet_pixels"] = frechet.of_sets(images, train)
        if min(len(images), len(train)) > NEIGHBOURS:
            for name, value in prdc.prdc(train, images, NEIGHBOURS)._asdict().items():
                found[f"{prefix}{name}"] = value
        distances = memorisation.nearest_distance(images, train)
        found[f"{prefix}nearest_train_distance"] = float(np.median(distances))
        if heldout is not None and np.median(memorisation.nearest_distance(heldout, train)) > 0:
            near = memorisation.memorisation(images, train, heldout)
            found[f"{prefix}share_near_copies"] = near.share_near_copies
    return found
