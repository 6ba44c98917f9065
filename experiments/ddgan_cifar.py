"""Denoising diffusion GAN by its CIFAR-10 recipes on images of any size, or the same, shrunk, on digits.

    python -m experiments.ddgan_cifar --data cifar10                        # FID 3.75 in four evaluations (the paper's)
    python -m experiments.ddgan_cifar --data cifar10 --recipe paper
    python -m experiments.ddgan_cifar --data photos/                        # a folder or zip of images
    python -m experiments.ddgan_cifar                                       # shrunk, on 8x8 digits, to see that it runs

A published generator, netG_1200.pth, is drawn from by `experiments.sample --checkpoint`. The figure is the paper's;
none of these was trained here. Run here: the last line, as a smoke run. A value of 0 stands for the recipe's, or for
its shrunk value on digits.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from experiments.harness import cli, datasets, experiment, image_shape
from experiments.harness.system import System, flipped
from experiments.systems import ddgan
from jaxdiff import interop
from jaxdiff.nets.ddgan.discriminator import Discriminator, large_discriminator
from jaxdiff.train.learning_rates import cosine_by_epoch

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
class Config(image_shape.Shaped, ddgan.DDGAN):
    """A denoising diffusion GAN by its CIFAR-10 recipe."""

    workdir: Path = Path("runs/ddgan_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    recipe: Annotated[str, cli.one_of(RECIPES)] = "released"
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
    """Width of the generator, whose the other fields of a U-Net are; half of it is the discriminator's, on digits all
    of it."""
    discriminator_mult: tuple[int, ...] = ()
    """Width after every block of the discriminator, in multiples of its own; empty for the paper's at that size."""


def resolve(config: Config) -> Config:
    """Zeros replaced: by values that suit 8x8 digits, by the recipe's on all other data.

    Raises: ValueError when there are no such data, or the network is none for them.
    """
    small = datasets.find(config.data).small
    recipe = interop.ddgan.CIFAR10
    if config.dropout > 0:
        raise ValueError(f"dropout must be 0, got {config.dropout}: a DDGAN's generator is trained without")
    unet = image_shape.UNet(
        recipe.num_channels_dae, recipe.ch_mult, recipe.num_res_blocks, recipe.attn_resolutions, 0.0
    )
    config = image_shape.shaped(config, image_shape.UNet(32, (1, 2), 1, (4,), 0.0) if small else unet)
    values = (SHRUNK if small else RECIPES[config.recipe])._asdict()
    if config.gamma >= 0:
        del values["gamma"]  # 0 is a weight like any other
    given = {name: value if name == "gamma" else getattr(config, name) or value for name, value in values.items()}
    return replace(config, **given)


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return image_shape.smoke(config, num_steps=config.num_steps, discriminator_mult=(2, 2))


def system(config: Config) -> System:
    """The recipe's networks; images are flipped at random and rates fall epoch by epoch, on digits neither."""
    width, shape = config.model_channels, (config.resolution, config.resolution, config.channels)
    if datasets.find(config.data).small:
        generator, discriminator = ddgan.digit_networks(config, width, shape, **image_shape.unet(config))
        return ddgan.assemble(config, generator, with_mult(config, discriminator), shape)
    options = replace(
        interop.ddgan.CIFAR10, image_size=config.resolution, num_channels=config.channels, num_channels_dae=width,
        ch_mult=config.channel_mult, num_res_blocks=config.num_blocks, attn_resolutions=config.attn_resolutions,
        nz=config.latent_dim or 1,
    )  # fmt: skip
    epochs = max(config.steps // STEPS_PER_EPOCH, 1)
    decayed = partial(cosine_by_epoch, steps_per_epoch=STEPS_PER_EPOCH, num_epochs=epochs)
    of_size = Discriminator if config.resolution < 64 else large_discriminator
    discriminator = with_mult(config, of_size(config.channels, width // 2))
    return flipped(ddgan.assemble(config, interop.ddgan.network(options), discriminator, shape, decayed))


def with_mult(config: Config, discriminator: Any) -> Any:
    """Return the discriminator with the width multipliers of the config, its own where there are none."""
    return discriminator.clone(channel_mult=config.discriminator_mult) if config.discriminator_mult else discriminator


EXPERIMENT = experiment.Experiment("ddgan_cifar", Config, system, smoke, resolve)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_cifar")
