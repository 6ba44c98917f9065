"""The Frechet distance between Gaussians fitted to two sets of features, in float64 on the host."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxdiff.metrics.features import as_rows, check_same_width

Matrix = NDArray[np.float64]


class FeatureStats(NamedTuple):
    """Running number, mean [d] and centred scatter [d, d] = sum (f - mean)(f - mean)^T of features."""

    num: int
    mean: Matrix
    scatter: Matrix

    @property
    def cov(self) -> Matrix:
        """Compute the unbiased covariance [d, d].

        Raises: ValueError for fewer than two features.
        """
        if self.num < 2:
            raise ValueError(f"a covariance needs at least 2 features, got {self.num}")
        return self.scatter / (self.num - 1)


def feature_stats(features: ArrayLike) -> FeatureStats:
    """Compute the statistics of features [N, d]; images are flattened.

    Raises: ValueError when a feature is not finite or there is none.
    Example:
      >>> s = feature_stats([[0.0, 1.0], [2.0, 1.0]])
      >>> s.mean.tolist(), s.cov.tolist()
      ([1.0, 1.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    features = as_rows("features", features)
    mean = features.mean(axis=0)
    centred = features - mean
    return FeatureStats(len(features), mean, centred.T @ centred)


def merge(a: FeatureStats, b: FeatureStats) -> FeatureStats:
    """Merge the statistics of two sets: a stream is `functools.reduce(merge, map(feature_stats, batches))`.

    Args:
      a, b: from `feature_stats`.
    Raises: ValueError when the features have different lengths.
    Reference: Chan, Golub & LeVeque 1979, which avoids the cancellation error of sums of squares.
    Example:
      >>> merge(feature_stats([[0.0], [1.0]]), feature_stats([[5.0]])).mean.tolist()
      [2.0]
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features must have one length, got {a.mean.size} and {b.mean.size}")
    num, delta = a.num + b.num, b.mean - a.mean
    scatter = a.scatter + b.scatter + np.outer(delta, delta) * (a.num * b.num / num)
    return FeatureStats(num, a.mean + delta * (b.num / num), scatter)


def frechet_distance(mean_1: ArrayLike, cov_1: ArrayLike, mean_2: ArrayLike, cov_2: ArrayLike) -> float:
    """Compute the squared Frechet distance of two Gaussians.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2))

    The trace of the root is the sum of the singular values of S1^(1/2) S2^(1/2), which two symmetric eigenvalue
    problems give for singular covariances too, without the square root of a nonsymmetric matrix.

    Args:
      mean_1, mean_2: [d].
      cov_1, cov_2: [d, d], symmetric positive semidefinite.
    Returns: the squared distance, >= 0 up to rounding.
    Raises: ValueError when shapes do not match, a value is not finite, or a covariance cannot be one.
    Reference: Dowson & Landau 1982; Heusel et al. 2017 for its use.
    Example:
      >>> frechet_distance([0.0], [[1.0]], [3.0], [[4.0]])
      10.0
    """
    m1, s1, m2, s2 = (np.asarray(a, np.float64) for a in (mean_1, cov_1, mean_2, cov_2))
    if m1.ndim != 1 or m1.shape != m2.shape or not s1.shape == s2.shape == (m1.size, m1.size):
        raise ValueError(
            f"means must be [d] and covariances [d, d], got {m1.shape}, {s1.shape}, {m2.shape}, {s2.shape}"
        )
    if not all(np.all(np.isfinite(a)) for a in (m1, s1, m2, s2)):
        raise ValueError("means and covariances must be finite")
    overlap = np.linalg.svd(_root("cov_1", s1) @ _root("cov_2", s2), compute_uv=False).sum()
    return float(np.sum((m1 - m2) ** 2) + np.trace(s1) + np.trace(s2) - 2 * overlap)


def distance_of_stats(a: FeatureStats, b: FeatureStats) -> float:
    """Compute the `frechet_distance` of two sets of features from their statistics.

    Args:
      a, b: from `feature_stats`, of two features or more each.
    Example:
      >>> distance_of_stats(feature_stats([[0.0], [1.0], [2.0]]), feature_stats([[1.0], [2.0], [3.0]]))
      1.0
    """
    return frechet_distance(a.mean, a.cov, b.mean, b.cov)


def distance_of_features(a: ArrayLike, b: ArrayLike) -> float:
    """Compute the `frechet_distance` of two sets of features, without a matrix [d, d] where one is smaller than d.

    With S1 = A^T A and S2 = B^T B, of centred features over sqrt(N - 1), the trace of the root is the sum of the
    singular values of A B^T; a set larger than d is replaced by its triangular factor of d rows.

    Args:
      a, b: features [N, d] and [M, d]; images are flattened.
    Raises: ValueError when a feature is not finite, a set holds fewer than two, or the features differ in length.
    Example:
      >>> round(distance_of_features([[0.0], [1.0], [2.0]], [[1.0], [2.0], [3.0]]), 12)
      1.0
    """
    a, b = as_rows("a", a, least=2), as_rows("b", b, least=2)
    check_same_width(a=a, b=b)
    centred = [(features - features.mean(axis=0)) / (len(features) - 1) ** 0.5 for features in (a, b)]
    factors = [np.linalg.qr(f, mode="r") if len(f) > f.shape[1] else f for f in centred]
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    variances = sum(float(np.sum(f**2)) for f in centred)
    return float(np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + variances - 2 * overlap)


def _root(name: str, cov: Matrix) -> Matrix:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    size = np.abs(cov).max(initial=0)
    # 1e-4: room for covariances that were accumulated in float32.
    if np.abs(cov - cov.T).max(initial=0) > 1e-4 * size or values.min(initial=0) < -1e-4 * size:
        raise ValueError(f"{name} must be symmetric positive semidefinite, smallest eigenvalue {values.min():.3g}")
    # Rounding turns an eigenvalue 0 into 1e-16, the root of which is no longer small: as numpy's matrix_rank has it.
    rounding = values.max(initial=0) * values.size * np.finfo(np.float64).eps
    return (vectors * np.sqrt(np.where(values > rounding, values, 0))) @ vectors.T
