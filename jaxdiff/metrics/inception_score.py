"""The Inception Score: is a classifier sure of each image, and unsure of all together? It uses no real images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from jaxdiff.metrics.features import as_rows


class InceptionScore(NamedTuple):
    """Mean and standard deviation over the splits; between 1 and the number of classes."""

    mean: float
    std: float


def inception_score(logits: ArrayLike, splits: int = 10) -> InceptionScore:
    """Compute exp(mean over images of KL(p(y | x) || p(y))), p(y) the mean of p(y | x) over a split's images.

    Args:
      logits: [N, classes]. Of the 1008 of FID's InceptionV3 without the bias, which the original implementation
        left out and all since: `metrics.inception.Features.scores`.
      splits: equal parts in the given order, of which there are 10 of 5,000 images in papers.
    Raises: ValueError when there are fewer images than splits, or a logit is not finite.
    Reference: Salimans et al. 2016, section 4. In float64, from logarithms, so that nothing underflows.
    Example:
      >>> round(inception_score([[99.0, 0.0], [0.0, 99.0]], splits=1).mean, 6)
      2.0
    """
    values = as_rows("logits", logits)
    if not 1 <= splits <= len(values):
        raise ValueError(f"splits must be 1 to the {len(values)} images, got {splits}")
    scores = [_score(part) for part in np.array_split(values, splits)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(logits: np.ndarray) -> float:
    conditional = log_softmax(logits, axis=1)
    marginal = logsumexp(conditional, axis=0) - np.log(len(logits))
    return float(np.exp(np.mean(np.sum(np.exp(conditional) * (conditional - marginal), axis=1))))
