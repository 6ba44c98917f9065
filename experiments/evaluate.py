"""Compute the metrics of a run's samples, or of any samples.npz; with --elbo, the run's variational bound.

    python -m experiments.evaluate --workdir runs/edm_digits
    python -m experiments.evaluate --workdir runs/ddpm_digits --elbo

prints them beside those of real held-out images and puts them into report.json.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import bound, cli, draw, runs, stages, workdir
from jaxdiff.data import cifar10, digits, pipeline


@dataclass(frozen=True)
class Config:
    """Metrics of drawn images."""

    workdir: Path
    """Folder of the run; its report.json gets the metrics."""
    samples: Path | None = None
    """Images to evaluate, by default WORKDIR/samples.npz; those of another file go to report.json beside that file."""
    elbo: bool = False
    """Instead of the samples' metrics: -ELBO of held-out images in bits/dim, with elbo.npz and elbo.png by step."""
    elbo_images: int = 128
    """Held-out images to take, from the first; every one needs as many evaluations as the chain has steps."""
    elbo_seed: int = 0
    """Of the noise in the bound."""


def main(config: Config) -> None:
    """Read, evaluate, write."""
    if config.elbo:
        evaluate_elbo(config)
        return
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


def evaluate_elbo(config: Config) -> None:
    """The bound, into report.json, elbo.npz and elbo.png."""
    with cli.bad_input():
        run_config, system = runs.of_run(config.workdir)
        images, labels = heldout(run_config.data, config.elbo_images)
        chain = bound.check(system, images)
        params, step = runs.averaged_params(run_config, system)
    found, per_step = bound.measure(chain, params, images, labels, config.elbo_seed)
    path = config.workdir / "report.json"
    report: dict[str, Any] = workdir.read_json(path) if path.exists() else {}
    workdir.write_json(path, {**report, "elbo": {**found, "step": step}, **workdir.environment()})
    np.savez(config.workdir / "elbo.npz", bits_per_dim=per_step)
    bound.plot(config.workdir / "elbo.png", per_step, found)
    for name in ("reconstruction", "matching", "prior", "bits_per_dim"):
        print(f"{name:<16}{found[name]:>10.4f}")
    print(
        f"bits/dim of {config.elbo_images} held-out images in {chain.bins} grey levels, "
        f"+- {found['standard_error'] or 0:.4f} over the images"
    )
    print(f"written to {path}, elbo.npz and elbo.png beside it")


def heldout(data: str, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images in [-1, 1] that the run did not train on, and their labels.

    Raises: ValueError when there are not so many.
    """
    half = digits.load("heldout")
    source: pipeline.Source = pipeline.ArraySource(image=half.images, label=half.labels)
    if data != "digits":
        source = cifar10.load("test")
    if not 1 <= num <= len(source):
        raise ValueError(f"elbo_images must be 1 to {len(source)}, got {num}")
    rows = [source[i] for i in range(num)]
    return np.stack([row["image"] for row in rows]), np.stack([row["label"] for row in rows])


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.evaluate")
