"""How many modes of the data are reached, and how evenly: labelled data, Gaussian mixtures, stacked digits."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr

from jaxdiff.metrics.features import as_rows, check_same_width

NUM_STACKED = 25_600
"""Samples by which 1,000 modes are counted (Metz et al. 2017; PacGAN and others take 26,000)."""
STACKED_MODES = 1_000


class Coverage(NamedTuple):
    """modes: how many have a sample; kl: of the samples' distribution over modes from the target, in nats."""

    modes: int
    kl: float


class MixtureCoverage(NamedTuple):
    """`Coverage`, where a mode needs a sample of high quality; high_quality: share of samples near their mode."""

    modes: int
    kl: float
    high_quality: float


class Classifier(Protocol):
    """As scikit-learn's: rows [N, d] to classes [N]."""

    def predict(self, features: NDArray[np.float64]) -> NDArray:
        """Return the class of each row."""


def coverage(labels: ArrayLike, num_modes: int, target: ArrayLike | None = None) -> Coverage:
    """Count the modes that are reached, and compute KL(p || q) = sum_k p_k log(p_k / q_k), p_k the share of mode k.

    N perfect samples of K equal modes have a KL of about (K - 1) / (2 N), and miss K exp(-N / K) modes.

    Args:
      labels: [N] integers 0 .. num_modes - 1, a classifier's of generated samples.
      num_modes: K >= 1.
      target: q [K], positive; uniform where not given. It need not be normalised: counts of data will do.
    Raises: ValueError when a label or the target does not fit num_modes, or there is no label.
    Reference: Metz et al. 2017 (1611.02163), 3.3; Lin et al. 2018 (PacGAN, 1712.04086), 4.1, who call it reverse KL.
    Example:
      >>> coverage([0, 0, 1, 1], num_modes=4).modes, round(coverage([0, 0, 1, 1], num_modes=4).kl, 4)
      (2, 0.6931)
    """
    if num_modes < 1:
        raise ValueError(f"num_modes must be at least 1, got {num_modes}")
    labels, q = np.asarray(labels), np.ones(num_modes) if target is None else np.asarray(target, np.float64)
    if labels.ndim != 1 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be [N >= 1] integers, got {labels.dtype} of shape {list(labels.shape)}")
    if labels.min() < 0 or labels.max() >= num_modes:
        raise ValueError(f"labels must lie in 0 .. {num_modes - 1}, got {labels.min()} .. {labels.max()}")
    if q.shape != (num_modes,) or not np.all((q > 0) & np.isfinite(q)):
        raise ValueError(f"target must be [{num_modes}] positive numbers, got shape {list(q.shape)}, least {q.min()}")
    counts = np.bincount(labels, minlength=num_modes)
    return Coverage(int(np.count_nonzero(counts)), float(np.sum(rel_entr(counts / labels.size, q / q.sum()))))


def mixture_coverage(samples: ArrayLike, means: ArrayLike, std: float, within: float = 3.0) -> MixtureCoverage:
    """Measure how samples cover equal isotropic Gaussians.

    A sample belongs to the nearest mean, and is of high quality within `within` standard deviations of it.

    Args:
      samples: [N, d].
      means: [K, d].
      std: of every Gaussian, > 0.
      within: 3 as Srivastava et al. 2017 have it; Azadi et al. 2019, whose data `data.gaussians` are, take 4. Of true
        samples in two dimensions 98.9 % are within 3, and 99.97 % within 4.
    Returns: modes with at least one sample of high quality; KL to uniform of all samples' modes; the share.
    Raises: ValueError when shapes do not fit, a number is not finite, or std or within is not positive.
    Reference: Srivastava et al. 2017 (VEEGAN, 1705.07761), section 5.1; the KL is PacGAN's (Lin et al. 2018), 4.1.
    Example:
      >>> mixture_coverage([[0.1], [0.9], [5.0]], means=[[0.0], [1.0], [5.5]], std=0.1)._replace(kl=0.0)
      MixtureCoverage(modes=2, kl=0.0, high_quality=0.6666666666666666)
    """
    samples, means = as_rows("samples", samples), as_rows("means", means)
    check_same_width(samples=samples, means=means)
    if not (std > 0 and within > 0):
        raise ValueError(f"std and within must be positive, got {std} and {within}")
    distance = np.linalg.norm(samples[:, None] - means[None], axis=2)
    nearest = np.argmin(distance, axis=1)
    good = np.min(distance, axis=1) <= within * std
    return MixtureCoverage(
        modes=len(np.unique(nearest[good])),
        kl=coverage(nearest, len(means)).kl,
        high_quality=float(np.mean(good)),
    )


def stacked_labels(images: ArrayLike, classifier: Classifier) -> NDArray[np.int64]:
    """Label images whose three channels show the digits a, b and c: 100 a + 10 b + c.

    Args:
      images: [N, H, W, 3] on the scale of the classifier's: 0 .. 16 for `classifier.fit` of digits.
      classifier: of single digits, each a row of H W pixels.
    Returns: [N].
    Raises: ValueError when images do not have three channels, or their size is not the classifier's.
    Reference: Metz et al. 2017, 3.3.
    Example: a classifier that returns a digit's first pixel
      >>> from types import SimpleNamespace
      >>> first = SimpleNamespace(predict=lambda rows: rows[:, 0].astype(int))
      >>> stacked_labels(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3), first).tolist()
      [123]
    """
    array = np.asarray(images, np.float64)
    if array.ndim != 4 or array.shape[-1] != 3:
        raise ValueError(f"images must be [N, H, W, 3], one digit a channel, got shape {list(array.shape)}")
    digits = [classifier.predict(as_rows("images", array[..., channel])) for channel in range(3)]
    return np.array([100, 10, 1]) @ np.asarray(digits, np.int64)


def stacked_coverage(images: ArrayLike, classifier: Classifier) -> Coverage:
    """Count which of the 1,000 modes of stacked digits are reached, and compute the KL to uniform.

    Args:
      images: [N, H, W, 3], as `stacked_labels` has them; papers take N = `NUM_STACKED`.
      classifier: of single digits.
    Raises: ValueError as `stacked_labels`.
    Reference: Metz et al. 2017, 3.3; Xiao et al. 2022, section 5.3. The classifier misreads some digits, so that a few
      modes may be its errors: compare with what real images reach.
    Example: a classifier that returns a digit's first pixel
      >>> from types import SimpleNamespace
      >>> first = SimpleNamespace(predict=lambda rows: rows[:, 0].astype(int))
      >>> stacked_coverage(np.arange(6.0).reshape(2, 1, 1, 3), first).modes
      2
    """
    return coverage(stacked_labels(images, classifier), STACKED_MODES)
