"""Denoising diffusion GAN on stacked digits: three digits as three channels, 1,000 modes. Are all of them reached?

    python -m experiments.ddgan_stacked                             # three 8x8 digits, T = 4
    python -m experiments.ddgan_stacked --data stacked_mnist        # StackedMNIST, 32x32, where it is prepared

leaves samples.png, samples.npz and report.json in --workdir; report.json has the modes that 25,600 samples reach and
their KL to uniform (Srivastava et al. 2017, section 5.2), with those of as many real held-out images. The paper
reaches 1,000 modes on StackedMNIST, KL 0.071 (Xiao et al. 2022, section 5.3). StackedMNIST was not trained here: MNIST
could not be had, and its loader and its classifier were tested on small files in the true format; its networks are
convolutional. A value of 0 stands for one that suits the data.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from experiments.harness import cli, experiment, training
from experiments.harness.system import System
from experiments.systems import ddgan, ddgan_dense, stacked_digits
from experiments.systems.ddgan_dense import Dense
from jaxdiff.metrics.modes import NUM_STACKED


def dense(config: Any, shape: tuple[int, int, int]) -> System:
    """Build networks of dense layers."""
    return ddgan_dense.assemble(config, shape, tanh=True)


def convolutional(config: Any, shape: tuple[int, int, int]) -> System:
    """Build the paper's networks, small."""
    return ddgan.assemble(config, *ddgan.digit_networks(config, config.model_channels, shape), shape)


class Suited(NamedTuple):
    """assemble(config, shape) -> both networks; images a step, both learning rates, steps in one compiled call.

    0 steps in one call stand for the device's choice.
    """

    assemble: Callable[[Any, tuple[int, int, int]], System]
    batch_size: int
    learning_rate: float
    discriminator_rate: float
    steps_per_dispatch: int


SUITED = {
    "stacked_digits": Suited(
        dense, Dense.batch_size, Dense.learning_rate, Dense.discriminator_rate, Dense.steps_per_dispatch
    ),
    # Rates of Xiao et al. 2022, Appendix C, for CIFAR-10, from memory.
    "stacked_mnist": Suited(convolutional, 64, 1.6e-4, 1e-4, 0),
}


@dataclass(frozen=True)
class Config(Dense):
    """DDGAN on stacked digits."""

    workdir: Path = Path("runs/ddgan_stacked")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    data: Annotated[str, cli.one_of(SUITED)] = "stacked_digits"
    """Three of scikit-learn's digits, or three of MNIST's."""
    steps: int = 30_000
    """Training steps, each one of the discriminator and one of the generator."""
    batch_size: int = 0
    """Images a step, over all devices; of MNIST divisible by 4, the group of the minibatch deviation."""
    learning_rate: float = 0
    """Of the generator's Adam."""
    discriminator_rate: float = 0
    """Of the discriminator's Adam."""
    steps_per_dispatch: int = 0
    """Steps in one compiled call; 100 for dense layers, whose loops are fast on every device."""
    model_channels: int = 32
    """stacked_mnist: channels of both networks at full resolution."""
    num_samples: int = NUM_STACKED
    """Images to draw for samples.npz and the metrics; image i has seed i."""
    classifier_steps: int = 2_000
    """stacked_mnist: training steps of the classifier that counts modes."""


def resolve(config: Config) -> Config:
    """Zeros replaced by values that suit the data."""
    values = SUITED[config.data]._asdict()
    del values["assemble"]
    return replace(config, **{name: getattr(config, name) or value for name, value in values.items()})


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    small = replace(training.smoke(config), num_steps=config.num_steps, width=16, model_channels=8, num_samples=100)
    return replace(small, classifier_steps=min(config.classifier_steps, 20))


def system(config: Config) -> System:
    """Both networks, and the data with what counts their modes."""
    data = stacked_digits.data(config.data, config.num_samples, config.workdir / "classifier", config.classifier_steps)
    return SUITED[config.data].assemble(config, stacked_digits.ORIGINS[config.data].shape)._replace(data=data)


EXPERIMENT = experiment.Experiment("ddgan_stacked", Config, system, smoke, resolve)


def main(config: Config) -> None:
    """Train, draw, count."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_stacked")
