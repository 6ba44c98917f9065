"""Denoising diffusion GAN on CIFAR-10 by the released command or the paper, or the same, shrunk, on digits.

    python -m experiments.ddgan_cifar --data cifar10                        # FID 3.75 in four evaluations (the paper's)
    python -m experiments.ddgan_cifar --data cifar10 --recipe paper
    python -m experiments.ddgan_cifar                                       # shrunk, on 8x8 digits, to see that it runs

A published generator, netG_1200.pth, is drawn from by `experiments.sample --checkpoint`. The figure is the paper's;
none of these was trained here. Run here: the last line, as a smoke run. A value of 0 stands for the recipe's, or for
its shrunk value on digits.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from experiments import cli, ddgan, stages
from experiments.system import System, flipped
from jaxdiff.interop import ddgan as published
from jaxdiff.nets.ddgan_discriminator import Discriminator
from jaxdiff.train.adversarial import cosine_by_epoch

STEPS_PER_EPOCH = 195
"""Whole batches of 256 in an epoch of 50,000 images."""


class Recipe(NamedTuple):
    """Steps, images a step, both learning rates, R1's weight and period, decay of the average a step."""

    steps: int
    batch_size: int
    learning_rate: float
    discriminator_rate: float
    gamma: float
    r1_every: int
    decay: float


RECIPES = {
    # The command of the authors' README: 1,800 epochs on 4 devices with 64 images each.
    "released": Recipe(1_800 * STEPS_PER_EPOCH, 256, 1.6e-4, 1.25e-4, 0.02, 15, 0.9999),
    # Xiao et al. 2022, Appendix C, tables of hyperparameters, from memory.
    "paper": Recipe(400_000, 256, 1.6e-4, 1e-4, 0.05, 15, 0.9999),
}
SHRUNK = Recipe(2_000, 64, 2e-4, 1.5e-4, 0.05, 1, 0.999)
"""On digits: the paper's networks, shrunk, to see that all of it runs. At none of the rates that were tried did they
learn digits within 3,000 steps; `ddgan_digits` has networks that do. R1 is at every step: lazy R1 does not pay."""


@dataclass(frozen=True)
class Config(ddgan.DDGAN):
    """A denoising diffusion GAN by its CIFAR-10 recipe."""

    workdir: Path = Path("runs/ddgan_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    recipe: Literal["released", "paper"] = "released"
    """The released command's values, or the paper's."""
    steps: int = 0
    """Training steps, each one of the discriminator and one of the generator."""
    batch_size: int = 0
    """Images a step, over all devices; divisible by 4, the group of the minibatch deviation."""
    latent_dim: int = 100
    """Numbers in the latent; 0 for none."""
    learning_rate: float = 0
    """Of the generator's Adam."""
    discriminator_rate: float = 0
    """Of the discriminator's Adam."""
    gamma: float = -1
    """Weight of R1, the discriminator's squared gradient at real x_{t-1}; negative for the recipe's."""
    r1_every: int = 0
    """R1 is added at steps that this divides."""
    decay: float = 0
    """Of the generator's average, a step."""
    model_channels: int = 0
    """Width of the generator; half of it is the discriminator's, on digits all of it."""


def resolve(config: Config) -> Config:
    """Zeros replaced: by the recipe's values on CIFAR-10, by values that suit 8x8 digits otherwise."""
    small = config.data == "digits"
    values = (SHRUNK if small else RECIPES[config.recipe])._asdict()
    values["model_channels"] = 32 if small else published.CIFAR10.num_channels_dae
    if config.gamma >= 0:
        del values["gamma"]  # 0 is a weight like any other
    given = {name: value if name == "gamma" else getattr(config, name) or value for name, value in values.items()}
    config = replace(config, **given)
    return replace(stages.smoke(config), num_steps=config.num_steps, model_channels=8) if config.smoke else config


def system(config: Config) -> System:
    """The recipe's networks; images are flipped at random and rates fall epoch by epoch, on digits neither."""
    width = config.model_channels
    if config.data == "digits":
        return ddgan.assemble(config, *ddgan.digit_networks(config, width, (8, 8, 1)), (8, 8, 1))
    options = replace(published.CIFAR10, num_channels_dae=width, nz=config.latent_dim or 1)
    shape = (options.image_size, options.image_size, options.num_channels)
    epochs = max(config.steps // STEPS_PER_EPOCH, 1)
    decayed = partial(cosine_by_epoch, steps_per_epoch=STEPS_PER_EPOCH, num_epochs=epochs)
    networks = published.network(options), Discriminator(3, width // 2)
    return flipped(ddgan.assemble(config, *networks, shape, decayed))


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    stages.run("ddgan_cifar", resolve(config), system)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_cifar")
