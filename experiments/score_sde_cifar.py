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

from experiments.harness import cli, datasets, experiment, image_shape
from experiments.harness.system import System, flipped
from experiments.systems import score_sde
from experiments.systems.network import of_images
from jaxdiff import interop

STEPS = 1_300_000
WARMUP = 5_000 * 128
HALFLIVES = {"vp": 887_000, "subvp": 887_000, "ve": 88_700}
"""Of the average, in images: decays of 0.9999 (VP, sub-VP) and 0.999 (VE) a step of 128, the authors' settings."""
NETWORKS = {
    ("vp", False): interop.score_sde.DDPMPP,
    ("subvp", False): interop.score_sde.DDPMPP,
    ("ve", False): interop.score_sde.NCSNPP,
    ("vp", True): interop.score_sde.DDPMPP_DEEP,
    ("subvp", True): interop.score_sde.DDPMPP_DEEP,
    ("ve", True): interop.score_sde.NCSNPP_DEEP,
}


@dataclass(frozen=True)
class Config(image_shape.Shaped, score_sde.ScoreSDE):
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
    """Fill in the recipe's values where none were given, shrunk on digits.

    Raises: ValueError when there are no such data, or the network is none for them.
    """
    small = datasets.find(config.data).small
    recipe = NETWORKS[config.sde, config.deep]
    unet = image_shape.UNet(recipe.nf, recipe.ch_mult, recipe.num_res_blocks, recipe.attn_resolutions, recipe.dropout)
    config = image_shape.shaped(
        config, image_shape.UNet(32, (1, 2), 2 if config.deep else 1, (4,), 0.0) if small else unet
    )
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
    return image_shape.smoke(config, num_steps=21)


def system(config: Config) -> System:
    """The recipe's network along its SDE, without classes; images are flipped at random, digits are not."""
    dataset = datasets.find(config.data)
    recipe = NETWORKS[config.sde, config.deep]
    options = replace(
        recipe, image_size=config.resolution, num_channels=config.channels, nf=config.model_channels,
        ch_mult=config.channel_mult, num_res_blocks=config.num_blocks, attn_resolutions=config.attn_resolutions,
        dropout=config.dropout,
    )  # fmt: skip
    shape = (options.image_size, options.image_size, options.num_channels)
    net = of_images(config, interop.score_sde.network(options), shape, bins=dataset.grey_values)
    built = score_sde.assemble(config, net)
    return flipped(built) if dataset.mirrored else built


EXPERIMENT = experiment.Experiment("score_sde_cifar", Config, system, smoke, resolve)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.score_sde_cifar")
