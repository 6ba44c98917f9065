"""Denoising diffusion GAN on scikit-learn's 8x8 handwritten digits, without classes: four steps from noise to image.

    python -m experiments.ddgan_digits                # T = 4
    python -m experiments.ddgan_digits --num-steps 1 --workdir runs/ddgan_digits_1     # a one-shot GAN

trains a small NCSN++ generator with adaptive group norm against a time-conditional discriminator (Xiao et al. 2022) and
leaves samples.png, samples.npz and report.json in --workdir. Interrupt it whenever you like: the same command goes on
from the last checkpoint.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from experiments import cli, ddgan, stages
from experiments.system import System


@dataclass(frozen=True)
class Config(ddgan.DDGAN):
    """DDGAN on 8x8 digits. Its rates are not tuned to these data yet; what is not named here is the paper's."""

    workdir: Path = Path("runs/ddgan_digits")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    steps: int = 2_000
    """Training steps, each one of the discriminator and one of the generator."""
    batch_size: int = 64
    """Images a step, over all devices; divisible by 4, the group of the minibatch deviation."""
    model_channels: int = 32
    """Channels of both networks at 8x8."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(stages.smoke(config), num_steps=config.num_steps, model_channels=8)


def system(config: Config) -> System:
    """Both networks."""
    generator, discriminator = ddgan.digit_networks(config, config.model_channels, (8, 8, 1))
    return ddgan.assemble(config, generator, discriminator, (8, 8, 1))


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    stages.run("ddgan_digits", smoke(config) if config.smoke else config, system)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_digits")
