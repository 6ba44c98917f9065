"""The trilemma on 25 Gaussians: metrics and bits/dim of points."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.comparison.rows import Trained, sde_model_of
from experiments.harness import forms
from experiments.harness.image_grid import save_png
from jaxdiff import gaussian_mixture, likelihood, probability_flow
from jaxdiff.data import gaussians
from jaxdiff.metrics import frechet, modes, prdc
from jaxdiff.types import Params

FACTOR = 10
"""Points that are drawn for one digit."""
HELDOUT, REAL = 1, 2
"""Seeds of the points that samples are compared with, and of real points that are measured like samples."""


def metrics(drawn: np.ndarray, trained: Trained) -> dict[str, Any]:
    """Return the metrics of samples, compared with as many true points."""
    return compared(drawn / trained.scale)


def real(num: int) -> dict[str, Any]:
    """Compute the same of true points, and their bits/dim under the true density."""
    true = gaussian_mixture.log_density(gaussians.grid(), jnp.asarray(gaussians.load(num, HELDOUT)[0]))
    return {**compared(gaussians.load(num, REAL)[0]), "bits_per_dim": bits_of(np.asarray(true)), "bits": "exact"}


def compared(found: np.ndarray) -> dict[str, Any]:
    """Compute all metrics of points [N, 2]."""
    heldout, _ = gaussians.load(len(found), HELDOUT)
    near = prdc.prdc(heldout, found)
    return {
        "frechet": frechet.distance_of_stats(frechet.feature_stats(found), frechet.feature_stats(heldout)),
        "precision": near.precision,
        "recall": near.recall,
        **modes.mixture_coverage(found, np.asarray(gaussians.grid().means), gaussians.STD)._asdict(),
    }


def bits(trained: Trained, num: int) -> dict[str, Any]:
    """Measure true points exactly, along the flow; a chain's ELBO is one of grey values, which points have not."""
    if trained.system.discrete_process is not None:
        return {}
    sde_model = sde_model_of(trained.system, bins=2)
    x = jnp.asarray(trained.scale * gaussians.load(num, HELDOUT)[0])

    def run(params: Params, x: jax.Array) -> Any:
        return likelihood.log_likelihood(sde_model.sde, sde_model.score(params, None), x, likelihood.exact)

    found = probability_flow.check_solved(jax.device_get(jax.jit(run)(trained.params, x)))
    return {"bits_per_dim": bits_of(found.log_prob + 2 * np.log(trained.scale)), "bits": "exact"}


def bits_of(log_prob: np.ndarray) -> float:
    """Return bits a coordinate of a density in nats."""
    return float(-np.mean(log_prob, dtype=np.float64) / (2 * np.log(2)))


def picture(path: Path, drawn: np.ndarray, trained: Trained) -> None:
    """Save a scatter plot over the true means."""
    means = np.asarray(gaussians.grid().means)
    save_png(path, forms.scatter(drawn / trained.scale, means=means, caption=path.stem))
