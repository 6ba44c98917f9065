"""Truncation error of the EDM paper's time steps and solvers on a mixture: python -m benchmarks.truncation

For 9 to 79 evaluations: RMS distance of the end point from that of the exact ODE, for the four time discretisations of
the paper's Table 1 (each on the same range of sigma, so that all solve one problem) with Euler's and Heun's method,
in float64. Prints a table, writes JSON with --out and a picture with --plot. The solution taken as exact is Heun's with
8,000 steps; its distance from that with 4,000 steps is kept, too.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.quality_tables import truncation
from benchmarks.record import save
from jaxdiff import gaussian_mixture, grids
from jaxdiff.samplers import euler, heun, sample

LOW, HIGH = 0.002, 80.0
DISCRETISATIONS = {
    "vp": partial(grids.vp, sigma_min=LOW, sigma_max=HIGH),
    "ve": partial(grids.ve, sigma_min=LOW, sigma_max=HIGH),
    "iddpm": partial(grids.iddpm, sigma_min=LOW, sigma_max=HIGH),
    "edm": partial(grids.karras, sigma_min=LOW, sigma_max=HIGH),
}
EVALUATIONS = (9, 15, 23, 35, 49, 63, 79)


@dataclass(frozen=True)
class Config:
    """Truncation error on a mixture whose denoiser is exact."""

    points: int = 1024
    """Trajectories."""
    std: float = 0.05
    """Standard deviation of each of the mixture's eight Gaussians, on a ring of radius 1."""
    plot: Path | None = None
    """Picture to write."""
    out: Path | None = None
    """JSON file for the table."""


def errors(config: Config) -> tuple[dict[str, list[float]], float]:
    """Row name -> RMS error for each of EVALUATIONS, and the error of the solution taken as exact."""
    denoise = partial(gaussian_mixture.denoiser, gaussian_mixture.ring(8, 1.0, config.std))
    x = HIGH * jax.random.normal(jax.random.key(0), (config.points, 2), jnp.float64)

    def end(sampler: object, sigmas: np.ndarray) -> jax.Array:
        # iDDPM's levels do not start at HIGH exactly: every grid starts from the same noise at its own first level.
        return sample(sampler, denoise, x * (sigmas[0] / HIGH), sigmas)  # type: ignore[arg-type]

    def rms(difference: jax.Array) -> float:
        return float(jnp.sqrt(jnp.mean(jnp.sum(difference**2, axis=1))))

    exact, finer = (end(heun(), grids.karras(n, LOW, HIGH)) for n in (4_000, 8_000))
    rows = {}
    for name, make in DISCRETISATIONS.items():
        rows[f"{name} euler"] = [rms(end(euler(), make(nfe)) - finer) for nfe in EVALUATIONS]
        rows[f"{name} heun"] = [rms(end(heun(), make((nfe + 1) // 2)) - finer) for nfe in EVALUATIONS]
    return rows, rms(exact - finer)


def main(config: Config) -> None:
    """Measure, print, draw."""
    jax.config.update("jax_enable_x64", True)
    rows, own = errors(config)
    asked = {"points": config.points, "std": config.std}
    found = {**asked, "evaluations": EVALUATIONS, "rows": rows, "error_of_the_exact": own}
    print(truncation(found))
    save(config.out, found)
    if config.plot:
        draw(rows, config.plot)


def draw(rows: dict[str, list[float]], path: Path) -> None:
    """Error against evaluations: a colour for the time steps, dashes for Euler."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4.2))
    colours = dict(zip(DISCRETISATIONS, ("tab:green", "tab:red", "tab:purple", "tab:blue"), strict=True))
    for name, row in rows.items():
        steps, solver = name.split()
        style = {"linestyle": "--" if solver == "euler" else "-", "color": colours[steps]}
        axis.loglog(EVALUATIONS, row, marker="o", ms=3, label=name, **style)
    axis.set_xticks(EVALUATIONS, [str(nfe) for nfe in EVALUATIONS])
    axis.minorticks_off()
    axis.set_xlabel("evaluations of the denoiser")
    axis.set_ylabel("RMS distance from the exact end point")
    axis.set_title("Mixture of eight Gaussians: truncation error")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, ncols=2, handlelength=3.5)
    figure.savefig(path, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main(tyro.cli(Config))
