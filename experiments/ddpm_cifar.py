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
from typing import Any, Literal

import jax.numpy as jnp

from experiments import cli, ddpm, images, stages
from experiments.system import System, flipped
from jaxdiff.data import digits
from jaxdiff.nets.unet_guided import GuidedUNet
from jaxdiff.types import Key, Params

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
    schedule: Literal["linear", "cosine"]
    variance: Literal["large", "learned_range"]
    objective: Literal["simple", "hybrid"]
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
class Config(images.Shaped, ddpm.Diffusion):
    """DDPM by a paper's CIFAR-10 recipe."""

    workdir: Path = Path("runs/ddpm_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    recipe: Literal["ho2020", "iddpm"] = "iddpm"
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
    schedule: Literal["recipe", "linear", "cosine"] = "recipe"  # type: ignore[assignment]
    """Of the betas."""
    variance: Literal["recipe", "small", "large", "learned", "learned_range"] = "recipe"  # type: ignore[assignment]
    """Of the reverse steps."""
    objective: Literal["recipe", "simple", "hybrid", "vlb"] = "recipe"  # type: ignore[assignment]
    """Loss."""
    times: Literal["uniform", "antithetic", "loss_aware"] = "uniform"
    """How training steps are drawn; the papers' are independent."""


def resolve(config: Config) -> Config:
    """The recipe's values in the place of those that were not given, shrunk on digits.

    Raises: ValueError when there are no such data, or the network is none for them.
    """
    recipe = RECIPES[config.recipe]
    small = config.data == "digits"
    unet = images.UNet(128, (1, 2, 2, 2), *(recipe.network[name] for name in images.UNet._fields[2:]))
    config = images.shaped(config, images.UNet(32, (1, 2), 1, (4,), 0.0) if small else unet)
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
    return images.smoke(config, model_channels=32, chain_length=50)


def system(config: Config) -> System:
    """The recipe's network on its chain, without classes; images are flipped at random, digits are not."""
    size, channels = config.resolution, config.channels
    changes: dict[str, Any] = {**RECIPES[config.recipe].network, **images.unet(config)}
    out_channels = ddpm.channels_of(config, channels)
    net = GuidedUNet(size, channels, out_channels, stem_channels=config.model_channels, **changes)

    def init(key: Key) -> Params:
        return net.init(key, jnp.zeros((1, size, size, channels)), jnp.zeros(1))

    bins = digits.LEVELS if config.data == "digits" else 256
    built = ddpm.assemble(config, net, init, shape=(size, size, channels), classes=0, bins=bins)
    return built if config.data == "digits" else flipped(built)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    with cli.bad_input():
        config = resolve(config)
    stages.run("ddpm_cifar", config, system, smoke)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddpm_cifar")
