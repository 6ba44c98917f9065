"""Whether conditional samples show their class: accuracy of a classifier trained on real images only."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxdiff.imports import needs
from jaxdiff.metrics.features import as_rows

if TYPE_CHECKING:
    from sklearn.svm import SVC


def fit(images: ArrayLike, labels: ArrayLike) -> "SVC":
    """Fit an RBF support vector classifier of digits.

    Args:
      images: real images [N, ...] on the pixel scale 0 .. 16, for which gamma = 0.001 is meant.
      labels: [N] classes, two or more different ones.
    Raises: ValueError when sizes do not match, a pixel is not finite, or there is one class only.
    Reference: scikit-learn's example "Recognizing hand-written digits", which has the same gamma and C = 1.
    Example:
      >>> images, labels = np.array([[0.0], [1.0], [15.0], [16.0]]), np.array([0, 0, 1, 1])
      >>> fit(images, labels).predict([[14.0]]).tolist()
      [1]
    """
    with needs("metrics", __name__):
        from sklearn.svm import SVC  # slow to import
    features = as_rows("images", images)
    return SVC(gamma=0.001).fit(features, _classes(labels, features))


def accuracy(classifier: "SVC", images: ArrayLike, labels: ArrayLike) -> float:
    """Compute the share of images to which the classifier gives their label: 1 is best, chance 1 / classes.

    Args:
      classifier: from `fit`.
      images: [N, ...] on the scale of `fit`.
      labels: [N] classes that they shall show.
    Raises: ValueError when sizes do not match each other or the classifier, or a pixel is not finite.
    Example:
      >>> images, labels = np.array([[0.0], [1.0], [15.0], [16.0]]), np.array([0, 0, 1, 1])
      >>> accuracy(fit(images, labels), images, [0, 0, 1, 0])
      0.75
    """
    features = as_rows("images", images)
    if features.shape[1] != classifier.n_features_in_:
        raise ValueError(
            f"images must have the classifier's {classifier.n_features_in_} pixels, got {features.shape[1]}"
        )
    return float(np.mean(classifier.predict(features) == _classes(labels, features)))


def _classes(labels: ArrayLike, features: NDArray[np.float64]) -> NDArray:
    """Labels, one for each image; [N, 1] would broadcast to a wrong accuracy without a word."""
    array = np.asarray(labels)
    if array.shape != (len(features),):
        raise ValueError(f"labels must be [{len(features)}], one an image, got shape {list(array.shape)}")
    return array
