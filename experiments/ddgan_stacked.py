"""Denoising diffusion GAN on stacked digits: three digits as three channels, 1,000 modes. Are all of them reached?

    python -m experiments.ddgan_stacked                             # three 8x8 digits, T = 4
    python -m experiments.ddgan_stacked --data stacked_mnist        # StackedMNIST, 32x32, where it is prepared

leaves samples.png, samples.npz and report.json in --workdir; report.json has the modes that 25,600 samples reach and
their KL to uniform (Srivastava et al. 2017, section 5.2), beside those of as many real held-out images. The paper
reaches 1,000 modes on StackedMNIST, KL 0.071 (Xiao et al. 2022, section 5.3). StackedMNIST was not trained here: MNIST
could not be had, and its loader and its classifier were tested on small files in the true format.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from experiments import cli, ddgan, stacked, stages
from experiments.system import System
from jaxdiff.metrics.modes import NUM_STACKED


@dataclass(frozen=True)
class Config(ddgan.DDGAN):
    """DDGAN on stacked digits. Networks and rates are those of ddgan_digits."""

    workdir: Path = Path("runs/ddgan_stacked")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    data: stacked.Name = "stacked_digits"  # type: ignore[assignment]
    """Three of scikit-learn's digits, or three of MNIST's."""
    steps: int = 10_000
    """Training steps, each one of the discriminator and one of the generator."""
    batch_size: int = 64
    """Images a step, over all devices; divisible by 4, the group of the minibatch deviation."""
    model_channels: int = 32
    """Channels of both networks at full resolution."""
    checkpoint_every: int = 1_000
    """Steps between checkpoints."""
    num_samples: int = NUM_STACKED
    """Images to draw for samples.npz and the metrics; image i has seed i."""
    judge_steps: int = 2_000
    """stacked_mnist: training steps of the classifier that counts modes."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    small = replace(stages.smoke(config), num_steps=config.num_steps, model_channels=8, num_samples=100)
    return replace(small, judge_steps=min(config.judge_steps, 20))


def system(config: Config) -> System:
    """Both networks, and the data with what counts their modes."""
    if config.judge_steps < 1:
        raise ValueError(f"judge_steps must be at least 1, got {config.judge_steps}")
    size = 8 if config.data == "stacked_digits" else 32
    shape = (size, size, 3)
    generator, discriminator = ddgan.digit_networks(config, config.model_channels, shape)
    data = stacked.data(config.data, config.num_samples, config.workdir / "judge", config.judge_steps)
    return ddgan.assemble(config, generator, discriminator, shape)._replace(data=data)


def main(config: Config) -> None:
    """Train, draw, count."""
    stages.run("ddgan_stacked", smoke(config) if config.smoke else config, system)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_stacked")
