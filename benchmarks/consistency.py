"""Every way to a consistency model, with its teacher: python -m benchmarks.consistency

Trains what is missing under --runs (`cd`, `ct`, ... by `experiments.consistency_digits`, from the teacher's run), draws
the same number of digits with one and two evaluations from the same seeds, and prints evaluations, seconds per 1,000
images without compilation, Frechet distance, its ratio to the teacher's at 35 evaluations, SVM accuracy and the minutes
of training. Seconds are of one run on one machine: compare them with each other only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.families import measure
from benchmarks.record import save
from experiments import consistency_digits
from experiments.harness import evaluator, generate, runs, workdir

METHODS = ("cd", "ct", "ict", "ect", "scd", "sct")


@dataclass(frozen=True)
class Config:
    """Consistency models side by side."""

    runs: Path = Path("runs/consistency")
    """Folder with one run a method."""
    teacher: Path = Path("runs/edm_digits")
    """Run of experiments.edm_digits."""
    num_images: int = 1_000
    """Images from every model."""
    batch_size: int = 250
    """Images drawn at once; divides num_images."""
    out: Path | None = None
    """JSON file for the table."""


def row(config: Config, folder: Path, num_steps: int) -> dict[str, Any]:
    """What is measured of one run at one number of sampling steps."""
    run_config, system = runs.of_run(folder)
    params, _ = runs.averaged_params(run_config, system)
    sampling = system.sampling(num_steps)
    request = generate.request(system, sampling, np.arange(config.num_images), config.batch_size)
    taken, images = measure(request, system, params)
    trained = workdir.read_json(folder / "report.json")["seconds"]["training"]
    return {
        "run": folder.name,
        "evaluations": sampling.nfe,
        "seconds_per_1000": round(taken, 3),
        "training_minutes": round(trained / 60, 1),
        **evaluator.of_digits(images, request.labels),
    }


def main(config: Config) -> None:
    """Train what is missing, measure, print."""
    if config.num_images % config.batch_size:
        raise SystemExit(f"batch_size={config.batch_size} must divide num_images={config.num_images}")
    for method in METHODS:
        if not (config.runs / method / "report.json").exists():
            wanted = {"method": method, "teacher": config.teacher, "workdir": config.runs / method}
            consistency_digits.main(consistency_digits.Config(**wanted))
    asked = [(config.teacher, 18), *((config.runs / method, n) for method in METHODS for n in (1, 2))]
    table: list[dict[str, Any]] = []
    print(f"{'run':<14}{'evaluations':>12}{'s / 1,000':>12}{'Frechet':>10}{'ratio':>8}{'SVM':>8}{'minutes':>9}")
    for folder, num_steps in asked:
        found = row(config, folder, num_steps)
        table.append(found)
        ratio = found["frechet_pixels"] / table[0]["frechet_pixels"]
        print(
            f"{found['run']:<14}{found['evaluations']:>12}{found['seconds_per_1000']:>12.2f}"
            f"{found['frechet_pixels']:>10.2f}{ratio:>8.2f}{found['svm_accuracy']:>8.3f}{found['training_minutes']:>9}"
        )
    one = next(found for found in table if found["evaluations"] == 1)
    speedup = table[0]["seconds_per_1000"] / one["seconds_per_1000"]
    print(f"one evaluation is {speedup:.1f} times as fast as the teacher's {table[0]['evaluations']}")
    save(config.out, {"num_images": config.num_images, "speedup": speedup, "rows": table})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.consistency"))
