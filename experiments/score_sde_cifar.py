"""Score SDEs by the CIFAR-10 recipes of Song et al. 2021 on images of any size, or the same recipes, shrunk, on digits.

    python -m experiments.score_sde_cifar --data cifar10 --sde ve --deep      # FID 2.20 by PC sampling (the paper's)
    python -m experiments.score_sde_cifar --data cifar10 --sde vp --deep      # FID 2.41 (the paper's)
    python -m experiments.score_sde_cifar --data cifar10 --sde subvp --deep   # 2.99 bits/dim (the paper's)
    python -m experiments.score_sde_cifar --data photos/                      # a folder or zip of images
    python -m experiments.score_sde_cifar --sde ve                            # 8x8 digits, minutes on a CPU

The figures are the paper's; none of these was trained here. Run here: the last line. A value of 0 stands for the
recipe's, or for its shrunk value on digits.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from experiments import cli, images, score_sde, stages
from experiments.system import System, flipped
from jaxdiff.data import digits
from jaxdiff.interop import score_sde as published
from jaxdiff.types import Key, Params

STEPS = 1_300_000
WARMUP = 5_000 * 128
HALFLIVES = {"vp": 887_000, "subvp": 887_000, "ve": 88_700}
"""Of the average, in images: decays of 0.9999 (VP, sub-VP) and 0.999 (VE) a step of 128, the authors' settings."""
NETWORKS = {
    ("vp", False): published.DDPMPP,
    ("subvp", False): published.DDPMPP,
    ("ve", False): published.NCSNPP,
    ("vp", True): published.DDPMPP_DEEP,
    ("subvp", True): published.DDPMPP_DEEP,
    ("ve", True): published.NCSNPP_DEEP,
}


@dataclass(frozen=True)
class Config(images.Shaped, score_sde.ScoreSDE):
    """A score SDE by the paper's CIFAR-10 recipe."""

    workdir: Path = Path("runs/score_sde_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    deep: bool = False
    """Twice as many blocks a resolution."""
    num_steps: int = 1_000
    """Predictor steps, each with one correction: twice as many evaluations."""
    steps: int = 0
    """Training steps."""
    learning_rate: float = 0
    """Of Adam, after warm-up."""
    warmup: int = -1
    """Images over which the learning rate rises from 0; negative for the recipe's."""
    clip_norm: float = 1.0
    """Largest gradient norm; 0 does not clip."""
    ema_halflife: int = 0
    """Half-life of the parameters' average, in images."""
    sigma_max: float = 0
    """VE: highest noise level; about the largest distance between two images of the data."""


def resolve(config: Config) -> Config:
    """The recipe's values in the place of those that were not given, shrunk on digits.

    Raises: ValueError when there are no such data, or the network is none for them.
    """
    small = config.data == "digits"
    recipe = NETWORKS[config.sde, config.deep]
    unet = images.UNet(recipe.nf, recipe.ch_mult, recipe.num_res_blocks, recipe.attn_resolutions, recipe.dropout)
    config = images.shaped(config, images.UNet(32, (1, 2), 2 if config.deep else 1, (4,), 0.0) if small else unet)
    values: dict[str, Any] = {
        "steps": 1_000 if small else STEPS,
        "learning_rate": 2e-3 if small else 2e-4,
        "ema_halflife": 10_000 if small else HALFLIVES[config.sde],
        "sigma_max": 10.0 if small else 100.0,
    }
    config = replace(config, **{name: getattr(config, name) or value for name, value in values.items()})
    if config.warmup < 0:
        config = replace(config, warmup=5_000 if small else WARMUP)
    if not small:
        config = replace(config, ema_rampup=0.0)
    return config


def smoke(config: Config) -> Config:
    """The same path in seconds; VP's chain must be longer than beta_max."""
    return images.smoke(config, num_steps=21)


def system(config: Config) -> System:
    """The recipe's network along its SDE, without classes; images are flipped at random, digits are not."""
    small = config.data == "digits"
    recipe = NETWORKS[config.sde, config.deep]
    options = replace(
        recipe, image_size=config.resolution, num_channels=config.channels, nf=config.model_channels,
        ch_mult=config.channel_mult, num_res_blocks=config.num_blocks, attn_resolutions=config.attn_resolutions,
        dropout=config.dropout,
    )  # fmt: skip
    net = published.network(options)
    shape = (options.image_size, options.image_size, options.num_channels)

    def init(key: Key) -> Params:
        return net.init(key, jnp.zeros((1, *shape)), jnp.zeros(1))

    built = score_sde.assemble(config, net, init, shape, classes=0, bins=digits.LEVELS if small else 256)
    return built if small else flipped(built)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    with cli.bad_input():
        config = resolve(config)
    stages.run("score_sde_cifar", config, system, smoke)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.score_sde_cifar")
