"""What imports cost beyond jax's own, and `--help` in all: python -m benchmarks.imports

Prints CPU seconds of statements, each in fresh interpreters that have imported jax, and of whole commands; the least of
several, which other programs on the machine disturb least. Writes JSON with --out.
"""

import resource
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
HELP = "experiments.edm_digits", "experiments.sample", "experiments.evaluate", "experiments.trilemma"


@dataclass(frozen=True)
class Config:
    """Imports beyond jax's own, and --help."""

    repeats: int = 5
    """Interpreters started for each row; the least is printed."""
    out: Path | None = None
    """JSON file to write."""


def cpu_seconds(statement: str, repeats: int) -> float:
    """CPU seconds of a statement in a fresh interpreter that has imported jax, the least of several."""
    code = f"import time, jax.numpy; start = time.process_time(); {statement}; print(time.process_time() - start)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE) for _ in range(repeats)]
    return min(float(run.stdout) for run in runs)


def seconds_of_help(module: str, repeats: int) -> float:
    """CPU seconds of `python -m MODULE --help`, the least of several."""
    runs = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", module, "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        runs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(runs)


def main(config: Config) -> None:
    """Measure and print."""
    found = {row: cpu_seconds(row, config.repeats) for row in ROWS}
    for row, seconds in found.items():
        print(f"{seconds:.3f} s {row}")
    helped = {module: seconds_of_help(module, config.repeats) for module in HELP}
    for module, seconds in helped.items():
        print(f"{seconds:.3f} s python -m {module} --help")
    save(config.out, {"seconds_beyond_jax": found, "seconds_of_help": helped})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.imports"))
