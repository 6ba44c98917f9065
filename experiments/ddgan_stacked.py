"""Denoising diffusion GAN on stacked digits: three digits as three channels, 1,000 modes. Are all of them reached?

    python -m experiments.ddgan_stacked                             # three 8x8 digits, T = 4
    python -m experiments.ddgan_stacked --data stacked_mnist        # StackedMNIST, 32x32, where it is prepared

leaves samples.png, samples.npz and report.json in --workdir; report.json has the modes that 25,600 samples reach and
their KL to uniform (Srivastava et al. 2017, section 5.2), beside those of as many real held-out images. The paper
reaches 1,000 modes on StackedMNIST, KL 0.071 (Xiao et al. 2022, section 5.3). StackedMNIST was not trained here: MNIST
could not be had, and its loader and its classifier were tested on small files in the true format; its networks are
convolutional, for which the rates of the paper's Appendix C are to be given:
--learning-rate 1.6e-4 --discriminator-rate 1e-4 --batch-size 64 --steps-per-dispatch 1.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp

from experiments import cli, ddgan, ddgan_dense, stacked, stages
from experiments.system import System
from jaxdiff.metrics.modes import NUM_STACKED


@dataclass(frozen=True)
class Config(ddgan_dense.Dense):
    """DDGAN on stacked digits."""

    workdir: Path = Path("runs/ddgan_stacked")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    data: stacked.Name = "stacked_digits"  # type: ignore[assignment]
    """Three of scikit-learn's digits, or three of MNIST's."""
    steps: int = 30_000
    """Training steps, each one of the discriminator and one of the generator."""
    model_channels: int = 32
    """stacked_mnist: channels of both networks at full resolution."""
    num_samples: int = NUM_STACKED
    """Images to draw for samples.npz and the metrics; image i has seed i."""
    judge_steps: int = 2_000
    """stacked_mnist: training steps of the classifier that counts modes."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    small = replace(stages.smoke(config), num_steps=config.num_steps, width=16, model_channels=8, num_samples=100)
    return replace(small, judge_steps=min(config.judge_steps, 20))


def system(config: Config) -> System:
    """Both networks, and the data with what counts their modes."""
    if config.judge_steps < 1:
        raise ValueError(f"judge_steps must be at least 1, got {config.judge_steps}")
    data = stacked.data(config.data, config.num_samples, config.workdir / "judge", config.judge_steps)
    if config.data == "stacked_digits":
        return ddgan_dense.assemble(config, (8, 8, 3), jnp.tanh)._replace(data=data)
    shape = (32, 32, 3)
    networks = ddgan.digit_networks(config, config.model_channels, shape)
    return ddgan.assemble(config, *networks, shape)._replace(data=data)


def main(config: Config) -> None:
    """Train, draw, count."""
    stages.run("ddgan_stacked", smoke(config) if config.smoke else config, system)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_stacked")
