"""Metrics: how close drawn images are to real ones, in float64 on the host; the extra `metrics` has scikit-learn.

On features [N, d] or images [N, H, W, C], which `features` checks: `frechet` (FID), `kid`, `inception_score`, `prdc`
(precision, recall, density, coverage), `memorisation`, `modes` (which modes are reached), `classifier` (accuracy of
classes), with error bars by `bootstrap`. `inception` computes features, `statistics` reads and writes published ones,
`reports` joins several metrics, and `lpips` is a distance in JAX, with a gradient.

To add a metric, write a file with a pure function of features that raises ValueError for what it cannot compare, and a
test against another implementation; add it to the report in `reports` that it belongs to.
"""

from typing import TYPE_CHECKING

from jaxdiff.imports import lazy

if TYPE_CHECKING:
    from jaxdiff.metrics import (
        bootstrap,
        classifier,
        features,
        frechet,
        inception,
        inception_score,
        kid,
        lpips,
        memorisation,
        modes,
        prdc,
        reports,
        statistics,
    )
    from jaxdiff.metrics.frechet import frechet_distance

__all__ = [
    "bootstrap",
    "classifier",
    "features",
    "frechet",
    "frechet_distance",
    "inception",
    "inception_score",
    "kid",
    "lpips",
    "memorisation",
    "modes",
    "prdc",
    "reports",
    "statistics",
]

NAMES = {
    "frechet_distance": "frechet",
}
"""What most programs call, by the file that has it."""

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, modules=set(__all__) - set(NAMES), names=NAMES)
