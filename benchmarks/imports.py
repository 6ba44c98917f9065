"""What imports cost beyond jax's own: python -m benchmarks.imports

Prints CPU seconds of statements, each in fresh interpreters that have imported jax; the least of several, which other
programs on the machine disturb least. Writes JSON with --out.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.record import save

ROWS = (
    "import jaxdiff",
    "from jaxdiff.samplers import heun, sample",
    "import jaxdiff as jd; jd.sample, jd.grids, jd.precond, jd.losses, jd.timesteps, jd.editing, jd.gaussian_mixture",
    "import jaxdiff as jd; jd.nets",
    "import jaxdiff as jd; jd.train.fit",
    "import experiments.edm_digits",
)


@dataclass(frozen=True)
class Config:
    """Imports beyond jax's own."""

    repeats: int = 5
    """Interpreters started for each row; the least is printed."""
    out: Path | None = None
    """JSON file to write."""


def cpu_seconds(statement: str, repeats: int) -> float:
    """CPU seconds of a statement in a fresh interpreter that has imported jax, the least of several."""
    code = f"import time, jax.numpy; start = time.process_time(); {statement}; print(time.process_time() - start)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE) for _ in range(repeats)]
    return min(float(run.stdout) for run in runs)


def main(config: Config) -> None:
    """Measure and print."""
    found = {row: cpu_seconds(row, config.repeats) for row in ROWS}
    for row, seconds in found.items():
        print(f"{seconds:.3f} s {row}")
    save(config.out, {"seconds_beyond_jax": found})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.imports"))
