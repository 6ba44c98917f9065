"""EDM by the CIFAR-10 recipes of Karras et al. 2022, Table 2, on images of any size, or the same, shrunk, on digits.

    python -m experiments.edm_cifar --data cifar10 --recipe cond_vp     # 200 million images; FID 1.79 (the paper's)
    python -m experiments.edm_cifar --data photos/ --held-out 0.1       # a folder of images, or of a folder a class
    python -m experiments.edm_cifar                                     # 8x8 digits, minutes on a CPU

The recipe brings the architecture (VP: DDPM++, VE: NCSN++), augmentation with its labels, batch size, learning rate,
warm-up, dropout and average. Run here: the last line, on digits. CIFAR-10 could not be had: its loader was tested
on small files in the true format; no FID of ours is claimed.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments import cli, devices, draw, edm_recipes, images, stages
from experiments.system import System
from jaxdiff import augment, precond
from jaxdiff.losses import denoising_loss
from jaxdiff.types import Array, Denoiser, Key, Params

RECIPES = {
    "cond_vp": edm_recipes.CIFAR10_COND_VP,
    "cond_ve": edm_recipes.CIFAR10_COND_VE,
    "uncond_vp": edm_recipes.CIFAR10_UNCOND_VP,
    "uncond_ve": edm_recipes.CIFAR10_UNCOND_VE,
}


@dataclass(frozen=True)
class Config(images.Shaped, stages.Training):
    """EDM by the CIFAR-10 recipe. A value of 0 stands for the recipe's, or for its shrunk value on digits."""

    workdir: Path = Path("runs/edm_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    recipe: Literal["cond_vp", "cond_ve", "uncond_vp", "uncond_ve"] = "cond_vp"
    """Conditional where the data have classes, or not; DDPM++ (vp) or NCSN++ (ve)."""
    row: Literal["A", "B", "C", "D", "E", "F"] = "F"
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
    small = config.data == "digits"
    values = shrunk if small else paper
    unet = images.UNet(*(getattr(recipe, name) for name in images.UNet._fields))
    config = images.shaped(config, images.UNet(16, (2, 2), 1, (4,), 0.0) if small else unet)
    config = replace(config, **{name: getattr(config, name) or value for name, value in values.items()})
    if config.ema_rampup < 0:
        config = replace(config, ema_rampup=recipe.ema_rampup or 0.0)
    return config


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return images.smoke(config)


def network(config: Config) -> Any:
    """The recipe's network in the config's shape."""
    recipe = edm_recipes.ablation(RECIPES[config.recipe], config.row)
    given = {"img_resolution": config.resolution, "label_dim": config.classes if recipe.label_dim else 0}
    net = edm_recipes.network(recipe, config.channels, **given, **images.unet(config))
    return devices.computing(config, net)


def system(config: Config) -> System:
    """The recipe's network, with augmentation in the loss."""
    recipe = edm_recipes.ablation(RECIPES[config.recipe], config.row)
    pipe = edm_recipes.augmentation(recipe)
    net = network(config)
    size, channels = net.img_resolution, net.in_channels
    row = recipe.preconditioning()

    def init(key: Key) -> Params:
        return net.init(key, jnp.zeros((1, size, size, channels)), jnp.zeros(1))

    def denoiser(params: Params, labels: Array | None, **cond: Any) -> Denoiser:
        if net.label_dim and labels is not None:
            cond["class_labels"] = jax.nn.one_hot(labels, net.label_dim)
        return precond.denoiser(net.apply, params, row, **cond)

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_augment, key_sigma, key_noise, key_dropout = jax.random.split(key, 4)
        x0 = batch["image"]
        cond: dict[str, Any] = {"train": True, "rngs": {"dropout": key_dropout}}
        if pipe is not None:
            x0, cond["augment_labels"] = augment.augment(key_augment, x0, pipe)
        sigma, noise = recipe.objective.levels(key_sigma, x0.shape[:1]), jax.random.normal(key_noise, x0.shape)
        return denoising_loss(denoiser(params, batch["label"], **cond), x0, sigma, noise, recipe.objective.weight)

    sampling = partial(draw.edm_sampling, row)
    return System(init, loss, denoiser, row, sampling, shape=(size, size, channels), num_classes=net.label_dim)


def main(config: Config) -> None:
    """Train, draw, evaluate."""
    with cli.bad_input():
        config = resolve(config)
    stages.run("edm_cifar", config, system, smoke)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.edm_cifar")
