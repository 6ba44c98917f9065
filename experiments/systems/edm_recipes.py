"""The training configurations of Karras et al. 2022, Table 7 and Appendix F, as frozen data.

Each FID is the paper's (its Table 2 or 3, 50,000 images, minimum of three), never ours: none of these was trained here.
They are the paper's config F; `ablation` gives its rows A to E. `experiments.edm_cifar` trains the CIFAR-10 ones.
Costs are those that the authors' repository states, rounded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax

from experiments.systems.edm import Augment, Objective, lognormal
from jaxdiff import augment, losses, precond, timesteps
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.song import SongUNet
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Batch, Key

EDM_OBJECTIVE = lognormal()
VP_OBJECTIVE = Objective(lambda key, shape: timesteps.vp_sigma(jax.random.uniform(key, shape)), losses.inverse_variance)
VE_OBJECTIVE = Objective(lambda key, shape: timesteps.ve_sigma(jax.random.uniform(key, shape)), losses.inverse_variance)


class Architecture(NamedTuple):
    """A network and its attributes; loss, preconditioning and average of the paper's baseline of it."""

    module: Callable[..., SongUNet | DhariwalUNet]
    options: dict[str, Any]
    objective: Objective
    preconditioning: Callable[[], Preconditioning]
    ema_halflife: int


ARCHITECTURES = {
    "DDPM++": Architecture(SongUNet, {}, VP_OBJECTIVE, precond.vp, 890_000),
    "NCSN++": Architecture(
        SongUNet,
        {
            "embedding_type": "fourier",
            "channel_mult_noise": 2,
            "encoder_type": "residual",
            "resample_filter": (1, 3, 3, 1),
        },
        VE_OBJECTIVE,
        precond.ve,
        90_000,
    ),
    "ADM": Architecture(DhariwalUNet, {}, VE_OBJECTIVE, precond.ve, 90_000),
}


@dataclass(frozen=True)
class Recipe:
    """One column of the table.

    Attributes:
      architecture: of `ARCHITECTURES`.
      resolution, label_dim: of the data.
      model_channels, channel_mult, num_blocks, attn_resolutions, dropout: of the network.
      augment: probability of EDM's augmentation, 0 for none.
      million_images: length of training; batch_size, learning_rate, warmup_images, ema_halflife in images.
      preconditioning, objective: constructor of the four coefficients; noise levels and weights of the loss.
      fid, nfe: of the paper, deterministic sampler, and its number of evaluations.
      cost: of the paper's own training runs.
    """

    architecture: str
    resolution: int
    label_dim: int
    million_images: int
    batch_size: int
    learning_rate: float
    dropout: float
    augment: float
    fid: float
    nfe: int
    cost: str
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (2, 2, 2)
    num_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    ema_halflife: int = 500_000
    ema_rampup: float | None = 0.05
    warmup_images: int = 10_000_000
    preconditioning: Callable[[], Preconditioning] = precond.edm
    objective: Objective = EDM_OBJECTIVE


CIFAR10_COND_VP = Recipe(
    "DDPM++", 32, 10, 200, 512, 1e-3, dropout=0.13, augment=0.12, fid=1.79, nfe=35, cost="about 2 days on 8 V100"
)
"""CIFAR-10 with classes, config F, VP architecture: FID 1.79 at 35 evaluations (the paper's)."""
CIFAR10_COND_VE = replace(CIFAR10_COND_VP, architecture="NCSN++", fid=1.79)
"""CIFAR-10 with classes, config F, VE architecture: FID 1.79 (the paper's)."""
CIFAR10_UNCOND_VP = replace(CIFAR10_COND_VP, label_dim=0, fid=1.97)
"""CIFAR-10 without classes, VP architecture: FID 1.97 (the paper's)."""
CIFAR10_UNCOND_VE = replace(CIFAR10_COND_VE, label_dim=0, fid=1.98)
"""CIFAR-10 without classes, VE architecture: FID 1.98 (the paper's)."""
FFHQ_64_VP = Recipe(
    "DDPM++",
    64,
    0,
    200,
    256,
    2e-4,
    dropout=0.05,
    augment=0.15,
    fid=2.39,
    nfe=79,
    cost="about 4 days on 8 V100",
    channel_mult=(1, 2, 2, 2),
)
"""FFHQ at 64x64, VP architecture: FID 2.39 at 79 evaluations (the paper's)."""
FFHQ_64_VE = replace(FFHQ_64_VP, architecture="NCSN++", fid=2.53)
"""FFHQ at 64x64, VE architecture: FID 2.53 (the paper's)."""
AFHQV2_64_VP = replace(FFHQ_64_VP, dropout=0.25, fid=1.96)
"""AFHQv2 at 64x64, VP architecture: FID 1.96 (the paper's)."""
AFHQV2_64_VE = replace(FFHQ_64_VE, dropout=0.25, fid=2.16)
"""AFHQv2 at 64x64, VE architecture: FID 2.16 (the paper's)."""
IMAGENET_64_ADM = Recipe(
    "ADM",
    64,
    1000,
    2500,
    4096,
    1e-4,
    dropout=0.10,
    augment=0.0,
    fid=1.36,
    nfe=511,
    cost="about 2 weeks on 32 A100",
    model_channels=192,
    channel_mult=(1, 2, 3, 4),
    num_blocks=3,
    attn_resolutions=(32, 16, 8),
    ema_halflife=50_000_000,
    ema_rampup=None,
)
"""ImageNet at 64x64 with classes, ADM: FID 1.36 with the stochastic sampler at 511 evaluations (the paper's)."""


ABLATIONS = "ABCDEF"
"""Rows of the paper's Table 2, from the VP or VE baseline to everything."""


def ablation(recipe: Recipe, row: str) -> Recipe:
    """Return the recipe of a row of the paper's Table 2, from config F back to A: each lacks what later rows added.

    F: everything. E: no augmentation. D: the loss of the original (VP or VE). C: its preconditioning too. B: its widths
    at four resolutions. A: its batch size, learning rate, warm-up, dropout and average (decay 0.9999 or 0.999 a step).

    Args:
      recipe: a CIFAR-10 recipe of config F.
      row: of the paper's Table 2.
    Returns: the recipe of that row. Its `fid` stays that of row F.
    Reference: Karras et al. 2022, Table 2 and Appendix F.3 and F.4 (Table 7, column "Baseline").
    """
    baseline = ARCHITECTURES[recipe.architecture]
    changes: list[dict[str, Any]] = [
        {},
        {"augment": 0.0},
        {"objective": baseline.objective},
        {"preconditioning": baseline.preconditioning},
        {"channel_mult": (1, 2, 2, 2)},
        {
            "batch_size": 128,
            "learning_rate": 2e-4,
            "warmup_images": 640_000,
            "dropout": 0.1,
            "ema_halflife": baseline.ema_halflife,
            "ema_rampup": None,
        },
    ]
    for change in changes[: ABLATIONS[::-1].index(row) + 1]:
        recipe = replace(recipe, **change)
    return recipe


def augmentation(recipe: Recipe) -> augment.Config | None:
    """Return EDM's pipeline for this recipe, or None."""
    return augment.edm_config(recipe.augment) if recipe.augment else None


def augmenting(recipe: Recipe) -> Augment:
    """Return what the recipe does to images in training; nothing without augmentation."""
    pipe = augmentation(recipe)
    if pipe is None:
        return lambda key, x0: (x0, {})

    def augmented(key: Key, x0: Batch) -> tuple[Batch, dict[str, Any]]:
        x, labels = augment.augment(key, x0, pipe)
        return x, {"augment_labels": labels}

    return augmented


def network(recipe: Recipe, channels: int = 3, **changes: Any) -> SongUNet | DhariwalUNet:
    """Build the recipe's network for images of `channels` channels; `changes` replace its attributes."""
    config = augmentation(recipe)
    options: dict[str, Any] = {
        "img_resolution": recipe.resolution,
        "in_channels": channels,
        "out_channels": channels,
        "label_dim": recipe.label_dim,
        "augment_dim": augment.label_dim(config) if config else 0,
        "model_channels": recipe.model_channels,
        "channel_mult": recipe.channel_mult,
        "num_blocks": recipe.num_blocks,
        "attn_resolutions": recipe.attn_resolutions,
        "dropout": recipe.dropout,
    }
    architecture = ARCHITECTURES[recipe.architecture]
    return architecture.module(**{**options, **architecture.options, **changes})
