"""Denoising diffusion GAN on 25 Gaussians: are all modes reached, and how many samples are good?

    python -m experiments.ddgan_25gaussians                                        # T = 4
    python -m experiments.ddgan_25gaussians --num-steps 1 --workdir runs/ddgan_25gaussians_1     # a one-shot GAN

leaves samples.png (a scatter plot over the true means), samples.npz (points) and report.json with modes, share of
samples of high quality, and KL, in --workdir; it goes on from the last checkpoint.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.harness import cli, experiment
from experiments.harness.system import System
from experiments.systems import ddgan_dense, gaussian_points


@dataclass(frozen=True)
class Config(ddgan_dense.Dense):
    """DDGAN on 25 Gaussians, a 5x5 grid. Defaults were chosen on these data."""

    workdir: Path = Path("runs/ddgan_25gaussians")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    steps: int = 40_000
    """Training steps, each one of the discriminator and one of the generator."""
    batch_size: int = 512
    """Points a step, over all devices."""
    latent_dim: int = 4
    """Numbers in the latent; 0 for none."""
    learning_rate: float = 2e-3
    """Of the generator's Adam."""
    discriminator_rate: float = 4e-3
    """Of the discriminator's Adam."""
    decay: float = 0.999
    """Of the generator's average, a step."""
    width: int = 128
    """Hidden features of both networks."""
    depth: int = 4
    """Hidden layers of both networks."""
    grid_every: int = 0
    """Steps between scatter plots of samples in WORKDIR/grids; 0 for none."""
    num_samples: int = 10_000
    """Points to draw for samples.npz and the metrics."""
    num_points: int = 100_000
    """Training points, drawn once."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    small: dict[str, Any] = {
        "steps": 200,
        "batch_size": 64,
        "checkpoint_every": 100,
        "num_samples": 500,
        "num_points": 1_000,
        "width": 16,
    }
    return replace(config, **small)


def system(config: Config) -> System:
    """Both networks and their chain, and the points."""
    data = gaussian_points.dataset(partial(gaussian_points.points, config.num_points, config.seed))
    return ddgan_dense.assemble(config, (2,))._replace(data=data)


EXPERIMENT = experiment.Experiment("ddgan_25gaussians", Config, system, smoke)


def main(config: Config) -> None:
    """Train, draw, count."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_25gaussians")
