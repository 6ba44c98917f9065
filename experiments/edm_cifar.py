"""EDM on CIFAR-10 by the recipes of Karras et al. 2022, Table 2, or the same recipes, shrunk, on digits.

    python -m experiments.edm_cifar --data cifar10 --recipe cond_vp     # 200 million images; FID 1.79 (the paper's)
    python -m experiments.edm_cifar                                     # 8x8 digits, minutes on a CPU

The recipe brings the architecture (VP: DDPM++, VE: NCSN++), augmentation with its labels, batch size, learning rate,
warm-up, dropout and average. Run here: the second line, on digits. CIFAR-10 could not be had: its loader was tested
on small files in the true format; no FID of ours is claimed, and only the metrics of digits are computed yet.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments import cli, devices, draw, edm_recipes, stages
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
class Config(stages.Training):
    """EDM by the CIFAR-10 recipe. A value of 0 stands for the recipe's, or for its shrunk value on digits."""

    workdir: Path = Path("runs/edm_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    recipe: Literal["cond_vp", "cond_ve", "uncond_vp", "uncond_ve"] = "cond_vp"
    """Conditional or not, DDPM++ (vp) or NCSN++ (ve)."""
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
    model_channels: int = 0
    """Width of the network."""


def resolve(config: Config) -> Config:
    """Zeros replaced: by the paper's values on CIFAR-10, by values that suit 8x8 digits otherwise."""
    recipe = edm_recipes.ablation(RECIPES[config.recipe], config.row)
    paper: dict[str, Any] = {
        "steps": recipe.million_images * 1_000_000 // recipe.batch_size,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "warmup": recipe.warmup_images,
        "ema_halflife": recipe.ema_halflife,
        "model_channels": recipe.model_channels,
    }
    shrunk: dict[str, Any] = {
        "steps": 1_000,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "warmup": 5_000,
        "ema_halflife": 10_000,
        "model_channels": 16,
    }
    values = shrunk if config.data == "digits" else paper
    config = replace(config, **{name: getattr(config, name) or value for name, value in values.items()})
    if config.ema_rampup < 0:
        config = replace(config, ema_rampup=recipe.ema_rampup or 0.0)
    return replace(stages.smoke(config), model_channels=8) if config.smoke else config


def network(config: Config) -> Any:
    """The recipe's network, shrunk on digits."""
    recipe = edm_recipes.ablation(RECIPES[config.recipe], config.row)
    changes: dict[str, Any] = {"model_channels": config.model_channels}
    if config.data == "digits":
        changes |= {
            "img_resolution": 8,
            "num_blocks": 1,
            "channel_mult": (2, 2),
            "attn_resolutions": (4,),
            "dropout": 0.0,
        }
    net = edm_recipes.network(recipe, 1 if config.data == "digits" else 3, **changes)
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
    stages.run("edm_cifar", resolve(config), system)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.edm_cifar")
