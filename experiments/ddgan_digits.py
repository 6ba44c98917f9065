"""Denoising diffusion GAN on scikit-learn's 8x8 handwritten digits, without classes: four steps from noise to image.

    python -m experiments.ddgan_digits                # T = 4
    python -m experiments.ddgan_digits --num-steps 1 --workdir runs/ddgan_digits_1     # a one-shot GAN

trains a generator against a time-conditional discriminator (Xiao et al. 2022), both of dense layers, since the images
are so small, and leaves samples.png, samples.npz and report.json in --workdir. Interrupt it whenever you like: the same
command goes on from the last checkpoint. The paper's networks are in `experiments.ddgan_cifar`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from experiments.harness import cli, experiment, training
from experiments.harness.system import System
from experiments.systems import ddgan_dense


@dataclass(frozen=True)
class Config(ddgan_dense.Dense):
    """DDGAN on 8x8 digits."""

    workdir: Path = Path("runs/ddgan_digits")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    steps: int = 20_000
    """Training steps, each one of the discriminator and one of the generator."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(training.smoke(config), num_steps=config.num_steps, width=16)


def system(config: Config) -> System:
    """Both networks and their chain."""
    return ddgan_dense.assemble(config, (8, 8, 1), tanh=True)


EXPERIMENT = experiment.Experiment("ddgan_digits", Config, system, smoke)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_digits")
