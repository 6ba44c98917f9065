"""All metrics of drawn 8x8 digits, each beside what real digits that nobody trained on reach."""

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from jaxdiff.metrics import frechet, memorisation, prdc


def report(
    samples: NDArray,
    labels: NDArray | None,
    train: tuple[NDArray, NDArray],
    heldout: tuple[NDArray, NDArray],
) -> dict[str, float]:
    """Metrics of samples against the training half, and of the held-out half against the same (`heldout_...`).

    frechet_pixels: Frechet distance on the 64 pixel values. Not an FID: no network is involved.
    svm_accuracy: share of samples that a classifier of real training digits gives the label they were drawn for.
    precision, recall, density, coverage: `prdc`, k = 3, on pixels.
    nearest_train_distance, share_near_copies: `memorisation`.

    Args:
      samples: [N, 8, 8, 1] on the pixel scale 0 .. 16 (`data.digits.to_pixels`), as all images here.
      labels: [N] classes asked for, or None for an unconditional system, which then has no svm_accuracy.
      train, heldout: (images, labels) of the real halves.
    Returns: a flat dict of numbers. Sizes bias the Frechet distance: compare equal ones.
    Raises: ValueError when samples do not have the shape of digits.
    """
    if samples.shape[1:] != train[0].shape[1:]:
        raise ValueError(f"samples must be [N, {', '.join(map(str, train[0].shape[1:]))}], got {list(samples.shape)}")
    classifier = svm(*train)
    reference = frechet.stats(train[0])
    found: dict[str, float] = {}
    for prefix, images, classes in (("", samples, labels), ("heldout_", *heldout)):
        found[f"{prefix}frechet_pixels"] = frechet.between(frechet.stats(images), reference)
        if classes is not None:
            found[f"{prefix}svm_accuracy"] = accuracy(classifier, images, classes)
        for name, value in prdc.prdc(train[0], images)._asdict().items():
            found[f"{prefix}{name}"] = value
    near = memorisation.memorisation(samples, train[0], heldout[0])
    found["nearest_train_distance"] = near.median_distance
    found["heldout_nearest_train_distance"] = near.heldout_median_distance
    found["share_near_copies"] = near.share_near_copies
    return found


def svm(images: NDArray, labels: NDArray) -> SVC:
    """An RBF support vector classifier of pixels 0 .. 16, gamma = 0.001 as in scikit-learn's digits example."""
    return SVC(gamma=0.001).fit(images.reshape(len(images), -1), labels)


def accuracy(classifier: SVC, images: NDArray, labels: NDArray) -> float:
    """Share of images that the classifier gives the label they have."""
    return float(np.mean(classifier.predict(images.reshape(len(images), -1)) == labels))
