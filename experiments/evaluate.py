"""Compute the metrics of a run's samples, or of any samples.npz.

    python -m experiments.evaluate --workdir runs/edm_digits

prints them beside those of real held-out images and puts them into report.json.
"""

from dataclasses import dataclass
from pathlib import Path

from experiments import cli, draw, runs, stages, workdir


@dataclass(frozen=True)
class Config:
    """Metrics of drawn images."""

    workdir: Path
    """Folder of the run; its report.json gets the metrics."""
    samples: Path | None = None
    """Images to evaluate, by default WORKDIR/samples.npz; those of another file go to report.json beside that file."""


def main(config: Config) -> None:
    """Read, evaluate, write."""
    with cli.bad_input():
        runs.of_run(config.workdir)
        path = config.samples or config.workdir / "samples.npz"
        images, labels = draw.read(path)
        metrics = stages.evaluate(images, labels)
    report_path = path.parent / "report.json"
    report = workdir.read_json(report_path) if report_path.exists() else {"samples": path.name}
    workdir.write_json(report_path, {**report, "num_samples": len(images), "metrics": metrics, **workdir.environment()})
    stages.show_metrics(metrics)
    print(f"written to {report_path}")


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.evaluate")
