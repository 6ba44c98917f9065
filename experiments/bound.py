"""The variational bound of a run on held-out data: bits/dim, its three parts, and what every step costs."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.ddpm import decoder
from experiments.system import Chain, System
from jaxdiff import keys
from jaxdiff.losses import elbo
from jaxdiff.losses.likelihood import bits_per_dim, check_bins
from jaxdiff.types import Array, Key, Params


def check(system: System, images: np.ndarray) -> Chain:
    """The chain of a system whose bound on these images can be computed.

    Raises: ValueError when the system has no chain, or the images are not on its grey levels.
    """
    if system.chain is None:
        raise ValueError("this run has no chain of steps, so it has no ELBO: train one with experiments.ddpm_digits")
    check_bins(images, system.chain.bins)
    return system.chain


def measure(
    chain: Chain, params: Params, images: np.ndarray, labels: np.ndarray, seed: int, batch_size: int = 128
) -> tuple[dict[str, Any], np.ndarray]:
    """({bits_per_dim, its parts, standard_error, ...}, bits/dim of every step [T]).

    Every step of every image is one evaluation. The standard error is over images: it says how far another held-out set
    might lie, not how far another seed does.
    """
    run = jax.jit(partial(_bound, chain))
    starts = tqdm(range(0, len(images), batch_size), desc="ELBO", unit="batch", disable=None)
    parts = []
    for start in starts:
        rows = slice(start, start + batch_size)
        key = jax.random.fold_in(keys.of_seed(seed), start)
        parts.append(jax.device_get(run(params, key, jnp.asarray(images[rows]), jnp.asarray(labels[rows]))))
    levels, prior = np.concatenate([p.levels for p in parts], axis=1), np.concatenate([p.prior for p in parts])
    bits = lambda nats: np.asarray(bits_per_dim(nats, images[0].size), np.float64)  # noqa: E731
    bound = elbo.Bound(jnp.asarray(bits(levels)), jnp.asarray(bits(prior)))
    total = np.asarray(bound.total)
    report = {
        "bits_per_dim": float(total.mean()),
        "standard_error": float(total.std(ddof=1) / len(total) ** 0.5) if len(total) > 1 else None,
        "reconstruction": float(np.mean(bound.reconstruction)),
        "matching": float(np.mean(bound.matching)),
        "prior": float(np.mean(bound.prior)),
        "nats": float(total.mean() * np.log(2) * images[0].size),
        "num_images": len(images),
        "num_steps": len(chain.betas),
        "grey_levels": chain.bins,
        "seed": seed,
    }
    return report, np.asarray(bound.levels).mean(axis=1)


def _bound(chain: Chain, params: Params, key: Key, images: Array, labels: Array) -> elbo.Bound:
    hvae = elbo.diffusion(chain.betas, chain.reverse, chain.model(params, labels), decoder(chain.bins))
    return elbo.elbo(hvae, images, key=key)


def plot(path: Path, per_step: np.ndarray, report: dict[str, Any]) -> None:
    """Bits/dim of every term against its step, as Nichol & Dhariwal 2021, Fig. 2."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(np.arange(1, len(per_step)), np.maximum(per_step[1:], 1e-8), lw=1, label="denoising matching")
    axes.set(xlabel="step t", ylabel="bits/dim", title=f"-ELBO: {report['bits_per_dim']:.3f} bits/dim in all")
    axes.plot([], [], " ", label=f"reconstruction: {report['reconstruction']:.2g}, prior: {report['prior']:.2g}")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
