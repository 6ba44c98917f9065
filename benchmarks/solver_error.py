"""Error against evaluations of every sampler on a mixture with exact models: python -m benchmarks.solver_error

Of each row of `benchmarks.solver_rows`, at 1 to 256 evaluations: how far the samples are from the exact mixture (sliced
Wasserstein-1 distance: mean over directions of the area between the samples' distribution function and the mixture's,
which is known), and of deterministic samplers how far each sample is from the end of the exact probability flow through
its own noise (root mean square). The distance of exact draws tells what sampling noise alone makes. float64. The
adaptive solver is asked at tolerances instead. Prints tables; writes JSON with --out, a picture with --plot.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from scipy.stats import norm

from benchmarks import solver_tables
from benchmarks.record import save
from benchmarks.solver_rows import GRIDS, HIGH, LOW, ROWS, VP, Row, denoiser
from jaxdiff import gaussian_mixture, grids, probability_flow, process
from jaxdiff.gaussian_mixture import Mixture
from jaxdiff.grids import Grid
from jaxdiff.samplers import adaptive, heun, sample

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
DIRECTIONS = 16
EXACT_DRAWS = 20
"""Sets of draws from the mixture itself."""


@dataclass(frozen=True)
class Config:
    """Error of every sampler of the library."""

    points: int = 8_192
    """Samples of each row."""
    std: float = 0.05
    """Standard deviation of each of the mixture's eight Gaussians, on a ring of radius 1."""
    exact_steps: int = 1_000
    """Heun steps of the solution taken as exact."""
    plot: Path | None = None
    """Picture to write, such as docs/img/solver_error.png."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/solver_error-DEVICE.json."""


def sliced_distance(mixture: Mixture, x: np.ndarray) -> float:
    """Compute the mean over directions of the area between the samples' distribution function and the mixture's."""
    found = []
    for angle in np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS:
        direction = np.array([np.cos(angle), np.sin(angle)])
        points = np.sort(x @ direction)
        line = np.linspace(min(points[0], -2.0), max(points[-1], 2.0), 4_001)
        exact = norm.cdf((line[:, None] - mixture.means @ direction) / np.sqrt(mixture.variances)) @ mixture.weights
        empirical = np.searchsorted(points, line, side="right") / len(points)
        found.append(np.trapezoid(np.abs(empirical - exact), line))
    return float(np.mean(found))


def rms(difference: Any) -> float:
    """Compute the root of the mean squared length."""
    return float(jnp.sqrt(jnp.mean(jnp.sum(jnp.asarray(difference) ** 2, axis=1))))


class Measurement:
    """One mixture, and one noise for all rows."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.mixture = gaussian_mixture.ring(8, 1.0, config.std)
        self.noise = jax.random.normal(jax.random.key(0), (config.points, 2), jnp.float64)
        self.exact = lru_cache(self._exact)

    def _exact(self, sigma: float, steps: int) -> jax.Array:
        """Solve the flow from a first level finely."""
        grid = grids.karras(steps, LOW, sigma)
        return sample(heun(), denoiser(self.mixture), sigma * self.noise, grid)

    def errors(self, x: jax.Array, grid: Grid, stochastic: bool) -> dict[str, float]:
        """Compute the distance of samples and, of a deterministic sampler, that of each from its exact end."""
        found = {"distance": sliced_distance(self.mixture, np.asarray(x))}
        if not stochastic:
            found["rms"] = rms(x - self.exact(float(grid[0]), self.config.exact_steps))
        return found

    def row(self, row: Row) -> dict[str, Any]:
        """Measure a row at each of its numbers of evaluations that it can have."""
        found: list[dict[str, Any]] = []
        for count in row.counts:
            if (n := row.steps(count)) is not None:
                grid, model = GRIDS[row.grid](n), row.model(self.mixture)
                x = sample(row.sampler(n), model, grid[0] * self.noise, grid, key=jax.random.key(1))
                errors = self.errors(x, grid, row.stochastic)
                found.append({"at_most": count, "evaluations": row.evaluations(n), "steps": n, **errors})
        print(f"{row.call:<52}{row.grid:<12}{found[-1]['distance']:.4f} at {found[-1]['evaluations']}", flush=True)
        kind = {"stochastic": row.stochastic, "network": row.network}
        return {"sampler": row.call, "grid": row.grid, **kind, "measured": found}

    def adaptive(self) -> list[dict[str, Any]]:
        """Measure the adaptive solver along VP at each tolerance, with its mean and its largest evaluations."""
        grid, found = process.sde.grid(VP, 2), []
        denoise, start = denoiser(self.mixture), grid[0] * self.noise

        def score(x: Any, t: Any) -> Any:
            return process.reverse_sde.score(VP, denoise, x, t)

        for tolerance in (probability_flow.Tolerance(value, value) for value in TOLERANCES):
            x = sample(adaptive(VP, tolerance), denoise, start, grid)
            asked = probability_flow.solve(VP, score, VP.a(1.0) * start, 1.0, 1e-3, tolerance).num_evaluations
            counts = {"evaluations": float(jnp.mean(asked)) + 1, "most": int(jnp.max(asked)) + 1}
            found.append({"tolerance": tolerance.rtol, **counts, **self.errors(x, grid, stochastic=False)})
        return found

    def floor(self) -> dict[str, float]:
        """Measure the distance of exact draws, for the mean and the largest of several."""
        keys = jax.random.split(jax.random.key(2), EXACT_DRAWS)
        draws = [gaussian_mixture.sample(self.mixture, key, self.config.points) for key in keys]
        found = [sliced_distance(self.mixture, np.asarray(x, np.float64)) for x in draws]
        return {"mean": float(np.mean(found)), "largest": max(found)}


def main(config: Config) -> None:
    """Measure, print, draw."""
    jax.config.update("jax_enable_x64", True)
    measurement, steps = Measurement(config), config.exact_steps
    exact_error = rms(measurement.exact(HIGH, steps) - measurement.exact(HIGH, 2 * steps))
    found: dict[str, Any] = {"points": config.points, "std": config.std, "floor": measurement.floor()}
    found["exact_error"] = exact_error
    found["rows"] = [measurement.row(row) for row in ROWS]
    found["adaptive"] = measurement.adaptive()
    for write in (solver_tables.flow, solver_tables.law, solver_tables.few, solver_tables.adaptive):
        print(f"\n{write(found)}")
    save(config.out, found)
    if config.plot:
        solver_tables.draw(found, config.plot)


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.solver_error"))
