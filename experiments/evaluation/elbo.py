"""The ELBO of a run on held-out data: bits/dim, its three parts, and what every step costs."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.harness.system import DiscreteProcess, System
from experiments.systems.ddpm import decoder
from jaxdiff import keys
from jaxdiff.losses import elbo
from jaxdiff.losses.bits import bits_per_dim, check_bins
from jaxdiff.types import Array, Key, Params


def check(system: System, images: np.ndarray) -> DiscreteProcess:
    """Return the chain of a system whose bound on these images can be computed.

    Raises: ValueError when the system has no chain, or the images are not on its grey values.
    """
    if system.discrete_process is None:
        raise ValueError("this run has no chain of steps, so it has no ELBO: train one with experiments.ddpm_digits")
    check_bins(images, system.discrete_process.bins)
    return system.discrete_process


def measure(
    chain: DiscreteProcess, params: Params, images: np.ndarray, labels: np.ndarray, seed: int, batch_size: int = 128
) -> tuple[dict[str, Any], np.ndarray]:
    """Return ({bits_per_dim, its parts, standard_error, ...}, bits/dim of every step [T]).

    Every step of every image is one evaluation. The standard error is over images: it says how far another held-out set
    might lie, not how far another seed does.
    """
    run = jax.jit(partial(_terms, chain))
    starts = tqdm(range(0, len(images), batch_size), desc="ELBO", unit="batch", disable=None)
    parts = []
    for start in starts:
        rows = slice(start, start + batch_size)
        key = jax.random.fold_in(keys.from_seed(seed), start)
        parts.append(jax.device_get(run(params, key, jnp.asarray(images[rows]), jnp.asarray(labels[rows]))))
    layers, prior = np.concatenate([p.layers for p in parts], axis=1), np.concatenate([p.prior for p in parts])
    bits = lambda nats: np.asarray(bits_per_dim(nats, images[0].size), np.float64)  # noqa: E731
    terms = elbo.HVAETerms(jnp.asarray(bits(layers)), jnp.asarray(bits(prior)))
    total = np.asarray(terms.total)
    report = {
        "bits_per_dim": float(total.mean()),
        "standard_error": float(total.std(ddof=1) / len(total) ** 0.5) if len(total) > 1 else None,
        "reconstruction": float(np.mean(terms.reconstruction)),
        "matching": float(np.mean(terms.matching)),
        "prior": float(np.mean(terms.prior)),
        "nats": float(total.mean() * np.log(2) * images[0].size),
        "num_images": len(images),
        "num_steps": len(chain.betas),
        "grey_values": chain.bins,
        "seed": seed,
    }
    return report, np.asarray(terms.layers).mean(axis=1)


def _terms(chain: DiscreteProcess, params: Params, key: Key, images: Array, labels: Array) -> elbo.HVAETerms:
    hvae = elbo.ddpm_hvae(chain.betas, chain.reverse_kernel, chain.model(params, labels), decoder(chain.bins))
    return elbo.hvae_elbo(hvae, images, key=key)


def plot(path: Path, per_step: np.ndarray, report: dict[str, Any]) -> None:
    """Plot bits/dim of every term against its step, as Nichol & Dhariwal 2021, Fig. 2."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(np.arange(1, len(per_step)), np.maximum(per_step[1:], 1e-8), lw=1, label="denoising matching")
    axes.set(xlabel="step t", ylabel="bits/dim", title=f"-ELBO: {report['bits_per_dim']:.3f} bits/dim in all")
    axes.plot([], [], " ", label=f"reconstruction: {report['reconstruction']:.2g}, prior: {report['prior']:.2g}")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
