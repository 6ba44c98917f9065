"""FID, KID, precision and recall, Inception Score from features that lie in shards, each with its error."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.harness import shards
from jaxdiff.metrics import bootstrap, frechet, inception_score, kid, prdc
from jaxdiff.metrics.statistics import Gaussian

K, SPLITS, ROWS = 3, 10, 5_000


class Stored(NamedTuple):
    """Features of images in shards: "pool" and "scores"."""

    folder: Path
    parts: Sequence[range]

    def load(self, name: str) -> NDArray[np.float32]:
        """Load one array [N, ...] into memory: 0.4 GB for 50,000 images."""
        return np.concatenate(list(shards.each(self.folder, self.parts, name)))


def parse(text: str) -> tuple[str, ...]:
    """Parse names of metrics from a comma-separated list.

    Raises: ValueError when there is another name or none.
    Example:
      >>> parse("fid,pr")
      ('fid', 'pr')
    """
    names = tuple(part.strip() for part in text.split(","))
    if wrong := [name for name in names if name not in METRICS]:
        raise ValueError(f"metrics must be some of {','.join(METRICS)}, got {wrong[0]!r}")
    return names


def gaussian(parts: Iterable[NDArray]) -> frechet.FeatureStats:
    """Compute number, mean and scatter of a stream of features, in float64; memory does not grow with their number."""
    return reduce(frechet.merge, map(frechet.feature_stats, parts))


def measure(
    names: Sequence[str], fake: Stored, reference: Gaussian | None, real: Stored | None, resamples: int
) -> dict[str, float | None]:
    """Compute the metrics of one set of images.

    Args:
      names: of `METRICS`.
      fake: features of the images; reference: statistics that fid needs; real: features that kid and pr need.
      resamples: of the bootstrap; 0 leaves out the errors that need it.
    Returns: each metric and its `_error`: of fid and inception_score by resampling the images, of kid by its subsets,
      of precision and density over the images and of recall and coverage over the real ones, manifolds held fixed.
    """
    found: dict[str, float | None] = {}
    for name in names:
        found |= METRICS[name].measure(fake, reference, real, resamples)
    return found


def fid(fake: Stored, reference: Gaussian | None, real: Stored | None, resamples: int) -> dict[str, float | None]:
    """Compute the Frechet distance of the pooled features."""
    assert reference is not None

    def distance(parts: Iterable[NDArray]) -> float:
        stats = gaussian(parts)
        return frechet.frechet_distance(stats.mean, stats.cov, *reference)

    found: dict[str, float | None] = {"fid": distance(shards.each(fake.folder, fake.parts, "pool"))}
    if resamples:
        pool = fake.load("pool")

        def drawn_again(rows: NDArray[np.intp]) -> float:
            return distance(pool[rows[i : i + ROWS]] for i in range(0, len(rows), ROWS))

        found["fid_error"] = bootstrap.standard_error(drawn_again, len(pool), resamples)
    return found


def score(fake: Stored, reference: Gaussian | None, real: Stored | None, resamples: int) -> dict[str, float | None]:
    """Compute the Inception Score over ten splits."""
    scores = fake.load("scores")
    mean, std = inception_score.inception_score(scores, SPLITS)
    found: dict[str, float | None] = {"inception_score": mean, "inception_score_std": std}
    if resamples:
        found["inception_score_error"] = bootstrap.standard_error(
            lambda rows: inception_score.inception_score(scores[rows], SPLITS).mean, len(scores), resamples
        )
    return found


def kernel_distance(
    fake: Stored, reference: Gaussian | None, real: Stored | None, resamples: int
) -> dict[str, float | None]:
    """Compute KID of the pooled features; its error is by its own subsets."""
    assert real is not None
    distance = kid.kid(real.load("pool"), fake.load("pool"))
    return {"kid": distance.mean, "kid_std": distance.std, "kid_error": finite(distance.error)}


def manifolds(fake: Stored, reference: Gaussian | None, real: Stored | None, resamples: int) -> dict[str, float | None]:
    """Compute precision, recall, density and coverage."""
    assert real is not None
    balls, recalled, covered = prdc.neighbourhoods(real.load("pool"), fake.load("pool"), K)
    each: dict[str, NDArray] = {"precision": balls > 0, "recall": recalled, "density": balls / K, "coverage": covered}
    found: dict[str, float | None] = {}
    for name, values in each.items():
        found[name] = float(np.mean(values))
        # What the bootstrap of a mean tends to.
        found[f"{name}_error"] = float(np.std(values) / len(values) ** 0.5)
    return found


class Metric(NamedTuple):
    """measure(fake, reference, real, resamples) -> its numbers, each with its `_error`; least: images that it needs.

    compares: whether with real images.
    """

    measure: Callable[[Stored, Gaussian | None, Stored | None, int], dict[str, float | None]]
    least: int
    compares: bool = True


METRICS = {
    "fid": Metric(fid, 2),
    "kid": Metric(kernel_distance, 2),
    "pr": Metric(manifolds, K + 1),
    "is": Metric(score, 2 * SPLITS, compares=False),
}
"""To offer a metric of these features, add its row."""


def combine(trials: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Combine several trials: the lowest FID with its error, as EDM reports it, and the mean of everything else.

    Example:
      >>> combine([{"fid": 3.0, "kid": 1.0}, {"fid": 2.0, "kid": 2.0}])
      {'fid': 2.0, 'kid': 1.5}
    """
    found: dict[str, float | None] = {}
    for name in trials[0]:
        numbers = [value for trial in trials if (value := trial[name]) is not None]
        found[name] = sum(numbers) / len(numbers) if numbers else None
    lowest = min(trials, key=lambda trial: trial.get("fid") or 0.0)
    return found | {name: lowest[name] for name in ("fid", "fid_error") if name in lowest}


def finite(value: float) -> float | None:
    """Return None where there is no number: JSON has no nan."""
    return value if math.isfinite(value) else None
