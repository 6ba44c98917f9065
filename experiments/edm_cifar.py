"""EDM by the CIFAR-10 recipes of Karras et al. 2022, Table 2, on images of any size, or the same, shrunk, on digits.

    python -m experiments.edm_cifar --data cifar10 --recipe cond_vp     # 200 million images; FID 1.79 (the paper's)
    python -m experiments.edm_cifar --data photos/ --held-out 0.1       # a folder of images, or of a folder a class
    python -m experiments.edm_cifar                                     # 8x8 digits, minutes on a CPU

The recipe brings the architecture (VP: DDPM++, VE: NCSN++), augmentation with its labels, batch size, learning rate,
warm-up, dropout and average. Run here: the last line, on digits. CIFAR-10 could not be had: its loader was tested
on small files in the true format; no FID of ours is claimed.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from experiments.harness import cli, datasets, experiment, image_shape, training
from experiments.harness.system import System
from experiments.systems import edm, edm_recipes
from experiments.systems.network import exportable, of_images

RECIPES = {
    "cond_vp": edm_recipes.CIFAR10_COND_VP,
    "cond_ve": edm_recipes.CIFAR10_COND_VE,
    "uncond_vp": edm_recipes.CIFAR10_UNCOND_VP,
    "uncond_ve": edm_recipes.CIFAR10_UNCOND_VE,
}


@dataclass(frozen=True)
class Config(image_shape.Shaped, training.Training):
    """EDM by the CIFAR-10 recipe. A value of 0 stands for the recipe's, or for its shrunk value on digits."""

    workdir: Path = Path("runs/edm_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    recipe: Annotated[str, cli.one_of(RECIPES)] = "cond_vp"
    """Conditional where the data have classes, or not; DDPM++ (vp) or NCSN++ (ve)."""
    row: Annotated[str, cli.one_of(edm_recipes.ABLATIONS)] = "F"
    """Row of the paper's Table 2, from the VP or VE baseline (A) to everything (F)."""
    steps: int = 0
    """Training steps."""
    batch_size: int = 0
    """Images a step, over all devices."""
    learning_rate: float = 0
    """Of Adam, after warm-up."""
    warmup: int = 0
    """Images over which the learning rate rises from 0."""
    ema_halflife: int = 0
    """Half-life of the parameters' average, in images."""
    ema_rampup: float = -1
    """The half-life is at most this share of the images seen so far; 0 for no limit, negative for the recipe's."""


def resolve(config: Config) -> Config:
    """Zeros replaced: by values that suit 8x8 digits, by the paper's on all other data.

    Raises: ValueError when there are no such data, or the network is none for them.
    """
    recipe = edm_recipes.ablation(RECIPES[config.recipe], config.row)
    paper: dict[str, Any] = {
        "steps": recipe.million_images * 1_000_000 // recipe.batch_size,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "warmup": recipe.warmup_images,
        "ema_halflife": recipe.ema_halflife,
    }
    shrunk: dict[str, Any] = {
        "steps": 1_000,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "warmup": 5_000,
        "ema_halflife": 10_000,
    }
    small = datasets.find(config.data).small
    values = shrunk if small else paper
    unet = image_shape.UNet(*(getattr(recipe, name) for name in image_shape.UNet._fields))
    config = image_shape.shaped(config, image_shape.UNet(16, (2, 2), 1, (4,), 0.0) if small else unet)
    config = replace(config, **{name: getattr(config, name) or value for name, value in values.items()})
    if config.ema_rampup < 0:
        config = replace(config, ema_rampup=recipe.ema_rampup or 0.0)
    return config


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return image_shape.smoke(config)


def network(config: Config) -> Any:
    """Build the recipe's network in the config's shape."""
    recipe = edm_recipes.ablation(RECIPES[config.recipe], config.row)
    given = {"img_resolution": config.resolution, "label_dim": config.classes if recipe.label_dim else 0}
    return edm_recipes.network(recipe, config.channels, **given, **image_shape.unet(config))


def system(config: Config) -> System:
    """Build the recipe's network, with augmentation in the loss."""
    recipe = edm_recipes.ablation(RECIPES[config.recipe], config.row)
    module = network(config)
    shape = (module.img_resolution, module.img_resolution, module.in_channels)
    net = of_images(config, module, shape, module.label_dim)
    built = edm.assemble(net, recipe.preconditioning(), recipe.objective, edm_recipes.augmenting(recipe))
    return built._replace(exportable=exportable(net, {"name": recipe.preconditioning.__name__}))


EXPERIMENT = experiment.Experiment("edm_cifar", Config, system, smoke, resolve)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.edm_cifar")
