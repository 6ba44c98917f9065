"""The exact likelihood of a run on held-out data, dequantised, in bits/dim."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.harness.system import SDEModel, System
from experiments.systems.score_sde import pixels_of
from jaxdiff import keys, likelihood, probability_flow
from jaxdiff.losses.bits import check_bins, density_bits_per_dim, dequantize
from jaxdiff.types import Array, Key, Params

BATCH = 128


def check(system: System, images: np.ndarray) -> SDEModel:
    """Return what the likelihood of a system on these images needs.

    Raises: ValueError when the system has no SDE, or the images are not on its grey values.
    """
    if system.sde_model is None:
        raise ValueError("this run has no SDE, so no likelihood: train one with experiments.score_sde_digits")
    check_bins(images, system.sde_model.bins)
    return system.sde_model


def measure(
    model: SDEModel, params: Params, images: np.ndarray, labels: np.ndarray, seed: int, probes: int
) -> dict[str, Any]:
    """Return {bits_per_dim, standard_error, ...} of dequantised images.

    Uniform dequantisation makes it an upper bound on the bits of the grey values themselves (Theis et al. 2016). The
    standard error is over images, and holds the noise of dequantisation and of the probes.

    Args:
      probes: Rademacher directions an image for the divergence; 0 takes the exact one.
    """
    run = jax.jit(partial(_log_prob, model, probes))
    found = []
    for start in tqdm(range(0, len(images), BATCH), desc="likelihood", unit="batch", disable=None):
        rows = slice(start, start + BATCH)
        key = jax.random.fold_in(keys.from_seed(seed), start)
        batch = run(params, key, jnp.asarray(images[rows]), jnp.asarray(labels[rows]))
        found.append(jax.device_get(probability_flow.check_solved(batch)))
    log_prob = np.concatenate([batch.log_prob for batch in found]).astype(np.float64)
    dims = images[0].size
    bits = np.asarray(density_bits_per_dim(jnp.asarray(log_prob), dims, model.bins), np.float64)
    return {
        "bits_per_dim": float(bits.mean()),
        "standard_error": float(bits.std(ddof=1) / len(bits) ** 0.5) if len(bits) > 1 else None,
        "nats": float(-log_prob.mean()),
        "offset_bits": float(np.log2(model.bins / 2)),
        "evaluations": float(np.mean([batch.num_evaluations.mean() for batch in found])),
        "probes": probes,
        "num_images": len(images),
        "grey_values": model.bins,
        "seed": seed,
    }


def _log_prob(model: SDEModel, probes: int, params: Params, key: Key, images: Array, labels: Array) -> Any:
    key_bins, key_probes = jax.random.split(key)
    x = dequantize(pixels_of(images, model.bins), jax.random.uniform(key_bins, images.shape), model.bins)
    score = model.score(params, labels)
    if not probes:
        return likelihood.log_likelihood(model.sde, score, x, likelihood.exact)
    directions = jax.random.rademacher(key_probes, (x.shape[0], probes, *x.shape[1:]), x.dtype)
    return likelihood.log_likelihood(model.sde, score, x, likelihood.hutchinson(directions))
