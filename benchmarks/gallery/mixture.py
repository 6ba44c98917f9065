"""Pictures in closed form: mixtures of Gaussians, whose denoiser is exact, so that nothing is trained."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from benchmarks.gallery.strips import rendered
from jaxdiff import gaussian_mixture, grids, guidance, samplers
from jaxdiff.samplers import sample, trajectory


def paths(runs: Path) -> np.ndarray:
    """Draw paths from noise to a mixture of three Gaussians: of the probability flow, and of ancestral sampling."""
    mixture = gaussian_mixture.mixture([[-1.2], [0.2], [1.1]], [0.3, 0.45, 0.25], 0.1**2)
    denoise = partial(gaussian_mixture.denoiser, mixture)
    sigmas = np.tan(np.linspace(np.arctan(10.0), 0, 161))  # x / sqrt(1 + sigma^2) turns evenly from noise to data
    scale, time = np.sqrt(1 + sigmas**2), np.linspace(0, 1, len(sigmas))
    x = scale[0] * jnp.linspace(-2.2, 2.2, 24)[:, None]
    levels = list(zip(sigmas, scale, strict=True))
    grid = jnp.linspace(-2.6, 2.6, 300)[:, None]
    density = np.stack([np.exp(gaussian_mixture.log_density(mixture, grid * c, s)) * c for s, c in levels])
    figure = Figure(figsize=(7.5, 6.5), dpi=100, layout="constrained")
    ways = {"probability flow, by Heun": samplers.heun(), "ancestral sampling": samplers.ancestral()}
    for axes, (name, sampler) in zip(figure.subplots(2, sharex=True), ways.items(), strict=True):
        _, xs = trajectory(sampler, denoise, x, sigmas, key=jax.random.key(1))
        axes.contourf(time, grid[:, 0], np.sqrt(density.T), np.linspace(0, 1.2, 25), cmap="Blues", extend="max")
        axes.plot(time, xs[..., 0] / scale[:, None], color="k", lw=0.8)
        axes.set(title=name, ylabel="x / sqrt(1 + sigma^2)", ylim=(-2.6, 2.6))
    shown = [0, 40, 80, 120, 140, 150, 160]
    axes.set_xticks(time[shown], [f"{sigmas[i]:.2g}" for i in shown])
    axes.set_xlabel("noise level sigma")
    return rendered(figure)


def guided(runs: Path) -> np.ndarray:
    """Guide towards one of two classes of a mixture, by four weights from the same noise."""
    ring = gaussian_mixture.ring(8, 1.0, 0.18)
    of_class = gaussian_mixture.mixture(ring.means[:3], variances=ring.variances[0])
    cond, uncond = (partial(gaussian_mixture.denoiser, mixture) for mixture in (of_class, ring))
    sigmas = grids.karras(40)
    x = sigmas[0] * jax.random.normal(jax.random.key(0), (600, 2))
    figure = Figure(figsize=(7.5, 2.3), dpi=100, layout="constrained")
    for axes, w in zip(figure.subplots(1, 4, sharey=True), (0.0, 1.0, 2.0, 4.0), strict=True):
        points = sample(samplers.heun(), guidance.guide(cond, uncond, w), x, sigmas)
        axes.plot(*ring.means.T, "o", color="tab:red", ms=5, alpha=0.4)
        axes.plot(*np.asarray(points).T, ".", color="k", ms=1.5)
        axes.set(title=f"w = {w:g}", aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.9, 1.9), xticks=[], yticks=[])
    return rendered(figure)
