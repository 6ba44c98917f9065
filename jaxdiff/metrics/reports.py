"""Several metrics of drawn images in one report, each with the value that real held-out images reach."""

import numpy as np
from numpy.typing import NDArray

from jaxdiff.metrics import classifier, frechet, memorisation, prdc

NEIGHBOURS = 3


def pixel_report(samples: NDArray, train: NDArray, heldout: NDArray | None = None) -> dict[str, float]:
    """Compute metrics of samples' pixels against training images, and those of held-out images (`heldout_...`).

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
      >>> found = pixel_report(images, images)
      >>> found["precision"], found["nearest_train_distance"], "share_near_copies" in found
      (1.0, 0.0, False)
    """
    found: dict[str, float] = {}
    sets = {"": samples} if heldout is None else {"": samples, "heldout_": heldout}
    distances = {prefix: memorisation.nearest_distance(images, train) for prefix, images in sets.items()}
    unseen = distances.get("heldout_", np.zeros(1))
    for prefix, images in sets.items():
        if min(len(images), len(train)) > 1:
            found[f"{prefix}frechet_pixels"] = frechet.distance_of_features(images, train)
        if min(len(images), len(train)) > NEIGHBOURS:
            for name, value in prdc.prdc(train, images, NEIGHBOURS)._asdict().items():
                found[f"{prefix}{name}"] = value
        found[f"{prefix}nearest_train_distance"] = float(np.median(distances[prefix]))
        if np.median(unseen) > 0:
            found[f"{prefix}share_near_copies"] = memorisation.near_share(distances[prefix], unseen)
    return found


def digit_report(
    samples: NDArray,
    labels: NDArray | None,
    train: tuple[NDArray, NDArray],
    heldout: tuple[NDArray, NDArray],
) -> dict[str, float]:
    """Compute metrics of drawn digits against the training half, and those of the held-out half (`heldout_...`).

    svm_accuracy: share of samples that a classifier of real training digits gives the label they were drawn for.
    The others are those of `pixel_report`, on the scale 0 .. 16.

    Args:
      samples: [N, 8, 8, 1] on the pixel scale 0 .. 16 (`digits.to_pixels`), as all images here.
      labels: [N] classes asked for, or None for an unconditional system, which then has no svm_accuracy.
      train, heldout: (images, labels) of the real halves, 898 and 899 digits.
    Returns: a flat dict of numbers; 1,000 samples have slightly less of a finite set's Frechet distance than the 899
      held-out digits, far fewer have more.
    Raises: ValueError when images are not digits on the scale 0 .. 16, or labels do not match them.
    Example:
      >>> images, labels = np.arange(16.0).reshape(8, 1, 2, 1), np.arange(8) // 4
      >>> found = digit_report(images, labels, (images, labels), (images, labels))
      >>> found["svm_accuracy"], found["recall"]
      (1.0, 1.0)
    """
    sets = {"samples": samples, "train": train[0], "heldout": heldout[0]}
    for name, images in sets.items():
        _check(name, images, sets["train"].shape[1:])
    svm = classifier.fit(*train)
    found = pixel_report(samples, train[0], heldout[0])
    for prefix, images, classes in (("", samples, labels), ("heldout_", *heldout)):
        if classes is not None:
            found[f"{prefix}svm_accuracy"] = classifier.accuracy(svm, images, classes)
    return found


def _check(name: str, images: NDArray, shape: tuple[int, ...]) -> None:
    """Images of one shape on the pixel scale; uint8 up to 255 or floats in [-1, 1] would pass as bad digits."""
    if images.shape[1:] != shape or len(images) < 4:
        raise ValueError(f"{name} must be [N >= 4, {', '.join(map(str, shape))}], got {list(images.shape)}")
    if not np.all((images >= 0) & (images <= 16)):
        raise ValueError(f"{name} must be on the pixel scale 0 .. 16, got {images.min():.4g} .. {images.max():.4g}")
