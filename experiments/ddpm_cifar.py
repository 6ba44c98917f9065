"""DDPM by the CIFAR-10 recipes of Ho et al. 2020 and Nichol & Dhariwal 2021, on images of any size or digits.

    python -m experiments.ddpm_cifar --data cifar10 --recipe ho2020    # 800,000 steps; FID 3.17 (the paper's)
    python -m experiments.ddpm_cifar --data cifar10 --recipe iddpm     # 500,000 steps; FID 3.19, 3.17 bits/dim (theirs)
    python -m experiments.ddpm_cifar --data photos/                    # a folder or zip of images
    python -m experiments.ddpm_cifar                                   # 8x8 digits, minutes on a CPU

The figures are the papers', for ancestral sampling with every step of the chain; none of these was trained here. Run
here: the last line. A value of 0 stands for the recipe's, or for its shrunk value on digits.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from experiments.harness import cli, datasets, experiment, image_shape
from experiments.harness.system import System, flipped
from experiments.systems import ddpm
from experiments.systems.ddpm_choices import OBJECTIVES, SCHEDULES, TIMES, VARIANCES
from experiments.systems.network import of_images
from jaxdiff.nets.unet.openai import GuidedUNet

EMA_HALFLIFE = 887_000
"""In images: a decay of 0.9999 a step of 128, 128 * log(0.5) / log(0.9999), in both papers."""


@dataclass(frozen=True)
class Recipe:
    """Training settings of one paper.

    Attributes: as the fields of the experiment; network: attributes of `GuidedUNet`.
    """

    steps: int
    learning_rate: float
    warmup: int
    clip_norm: float
    chain_length: int
    schedule: str
    variance: str
    objective: str
    network: dict[str, Any]


HO_2020 = Recipe(
    800_000, 2e-4, 5_000 * 128, 1.0, 1_000, "linear", "large", "simple",
    {"num_blocks": 2, "attn_resolutions": (16,), "dropout": 0.1},
)  # fmt: skip
"""Ho et al. 2020, Appendix B: 35.7 million parameters, batch 128, horizontal flips, FID 3.17."""
IDDPM = Recipe(
    500_000, 1e-4, 0, 0.0, 4_000, "cosine", "learned_range", "hybrid",
    {"num_blocks": 3, "attn_resolutions": (16, 8), "num_heads": 4, "adaptive_scale": True, "dropout": 0.3},
)  # fmt: skip
"""Nichol & Dhariwal 2021, Table 2 and Appendix A: cosine chain of 4,000 steps, hybrid loss, batch 128, FID 3.19."""
RECIPES = {"ho2020": HO_2020, "iddpm": IDDPM}


@dataclass(frozen=True)
class Config(image_shape.Shaped, ddpm.Diffusion):
    """DDPM by a paper's CIFAR-10 recipe."""

    workdir: Path = Path("runs/ddpm_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    recipe: Annotated[str, cli.one_of(RECIPES)] = "iddpm"
    """Whose: Ho et al. 2020, or Nichol & Dhariwal 2021 (improved DDPM)."""
    steps: int = 0
    """Training steps."""
    learning_rate: float = 0
    """Of Adam, after warm-up."""
    warmup: int = -1
    """Images over which the learning rate rises from 0; negative for the recipe's."""
    clip_norm: float = -1
    """Largest gradient norm; 0 does not clip, negative for the recipe's."""
    ema_halflife: int = 0
    """Half-life of the parameters' average, in images."""
    chain_length: int = 0
    """T, the number of steps of the forward chain."""
    schedule: Annotated[str, cli.one_of(["recipe", *SCHEDULES])] = "recipe"
    """Of the betas."""
    variance: Annotated[str, cli.one_of(["recipe", *VARIANCES])] = "recipe"
    """Of the reverse steps."""
    objective: Annotated[str, cli.one_of(["recipe", *OBJECTIVES])] = "recipe"
    """Loss."""
    times: Annotated[str, cli.one_of(TIMES)] = "uniform"
    """How training steps are drawn; the papers' are independent."""


def resolve(config: Config) -> Config:
    """Fill in the recipe's values where none were given, shrunk on digits.

    Raises: ValueError when there are no such data, or the network is none for them.
    """
    recipe = RECIPES[config.recipe]
    small = datasets.find(config.data).small
    unet = image_shape.UNet(128, (1, 2, 2, 2), *(recipe.network[name] for name in image_shape.UNet._fields[2:]))
    config = image_shape.shaped(config, image_shape.UNet(32, (1, 2), 1, (4,), 0.0) if small else unet)
    values: dict[str, Any] = {
        "steps": 1_000 if small else recipe.steps,
        "learning_rate": 1e-3 if small else recipe.learning_rate,
        "ema_halflife": 10_000 if small else EMA_HALFLIFE,
        "chain_length": recipe.chain_length,
    }
    config = replace(config, **{name: getattr(config, name) or value for name, value in values.items()})
    below: dict[str, Any] = {"warmup": 5_000 if small else recipe.warmup, "clip_norm": recipe.clip_norm}
    config = replace(config, **{name: value for name, value in below.items() if getattr(config, name) < 0})
    named = ("schedule", "variance", "objective")
    config = replace(config, **{name: getattr(recipe, name) for name in named if getattr(config, name) == "recipe"})
    if not small:
        config = replace(config, ema_rampup=0.0)
    return config


def smoke(config: Config) -> Config:
    """The same path in seconds; every width must be a multiple of 32."""
    return image_shape.smoke(config, model_channels=32, chain_length=50)


def system(config: Config) -> System:
    """The recipe's network on its chain, without classes; images are flipped at random, digits are not."""
    size, channels = config.resolution, config.channels
    changes: dict[str, Any] = {**RECIPES[config.recipe].network, **image_shape.unet(config)}
    out_channels = ddpm.channels_of(config, channels)
    module = GuidedUNet(size, channels, out_channels, stem_channels=config.model_channels, **changes)
    dataset = datasets.find(config.data)
    net = of_images(config, module, (size, size, channels), bins=dataset.grey_values)
    built = ddpm.assemble(config, net)
    return flipped(built) if dataset.mirrored else built


EXPERIMENT = experiment.Experiment("ddpm_cifar", Config, system, smoke, resolve)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddpm_cifar")
