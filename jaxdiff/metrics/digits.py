"""All metrics of drawn 8x8 digits, each beside what real digits that nobody trained on reach."""

import numpy as np
from numpy.typing import NDArray

from jaxdiff.metrics import classifier, pixels


def report(
    samples: NDArray,
    labels: NDArray | None,
    train: tuple[NDArray, NDArray],
    heldout: tuple[NDArray, NDArray],
) -> dict[str, float]:
    """Metrics of samples against the training half, and of the held-out half against the same (`heldout_...`).

    svm_accuracy: share of samples that a classifier of real training digits gives the label they were drawn for.
    The others are those of `pixels.report`.

    Args:
      samples: [N, 8, 8, 1] on the pixel scale 0 .. 16 (`data.digits.to_pixels`), as all images here.
      labels: [N] classes asked for, or None for an unconditional system, which then has no svm_accuracy.
      train, heldout: (images, labels) of the real halves, 898 and 899 digits.
    Returns: a flat dict of numbers; 1,000 samples have slightly less of a finite set's Frechet distance than the 899
      held-out digits, far fewer have more.
    Raises: ValueError when images are not digits on the scale 0 .. 16, or labels do not match them.
    """
    sets = {"samples": samples, "train": train[0], "heldout": heldout[0]}
    for name, images in sets.items():
        _check(name, images, sets["train"].shape[1:])
    judge = classifier.fit(*train)
    found = pixels.report(samples, train[0], heldout[0])
    for prefix, images, classes in (("", samples, labels), ("heldout_", *heldout)):
        if classes is not None:
            found[f"{prefix}svm_accuracy"] = classifier.accuracy(judge, images, classes)
    return found


def _check(name: str, images: NDArray, shape: tuple[int, ...]) -> None:
    """Images of one shape on the pixel scale; uint8 up to 255 or floats in [-1, 1] would pass as bad digits."""
    if images.shape[1:] != shape or len(images) < 4:
        raise ValueError(f"{name} must be [N >= 4, {', '.join(map(str, shape))}], got {list(images.shape)}")
    if not np.all((images >= 0) & (images <= 16)):
        raise ValueError(f"{name} must be on the pixel scale 0 .. 16, got {images.min():.4g} .. {images.max():.4g}")
