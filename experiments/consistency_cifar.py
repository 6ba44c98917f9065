"""Consistency models on CIFAR-10 by their papers' recipes, or the same recipes, shrunk, on digits.

    python -m experiments.consistency_cifar --data cifar10 --method cd --teacher edm-cifar10-32x32-uncond-vp.pkl \\
        --distance lpips --vgg vgg16-397923af.pth --lpips vgg.pth
    python -m experiments.consistency_cifar --data cifar10 --method ct --target-decay 0.9 --distance lpips --vgg ...
    python -m experiments.consistency_cifar --data cifar10 --method ict
    python -m experiments.consistency_cifar                             # 8x8 digits, minutes on a CPU

FIDs of the papers, without classes, at one and two evaluations: CD 3.55 and 2.93 (with LPIPS), CT 8.70 and 5.83 (Song
et al. 2023, Table 1); iCT 2.83 and 2.46 (Song & Dhariwal 2024, Table 2); ECT 3.60 and 2.11 (Geng et al. 2025, Table 1);
sCT 2.97 and 2.06, sCD 3.66 and 2.52 (Lu & Song 2025, Table 1). They and the recipes' values were written from memory of
the papers, whose RAdam is Adam here. None of these was trained here. Run here: the last line.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import edm_cifar
from experiments.harness import cli, datasets, experiment, image_shape, runs
from experiments.harness.system import System
from experiments.systems import consistency, consistency_teacher
from experiments.systems.consistency_choices import METHODS
from experiments.systems.network import of_images
from jaxdiff.interop.edm import load_edm
from jaxdiff.types import Params


class Recipe(NamedTuple):
    """Steps, images a step, learning rate, decay of the average a step, dropout."""

    steps: int
    batch_size: int
    learning_rate: float
    decay: float
    dropout: float


RECIPES = {
    "cd": Recipe(800_000, 512, 4e-4, 0.9999, 0.0),  # Song et al. 2023, Table 3
    "ct": Recipe(800_000, 512, 4e-4, 0.9999, 0.0),  # the same
    "ict": Recipe(400_000, 1_024, 1e-4, 0.99993, 0.3),  # Song & Dhariwal 2024, Appendix A
    "ect": Recipe(400_000, 128, 1e-4, 0.9999, 0.2),  # Geng et al. 2025, Appendix A
    "scd": Recipe(400_000, 512, 1e-4, 0.9999, 0.2),  # Lu & Song 2025, Appendix G
    "sct": Recipe(400_000, 512, 1e-4, 0.9999, 0.2),  # the same
}


@dataclass(frozen=True)
class Config(image_shape.Fitted, consistency.Consistency):
    """A consistency model by its paper's CIFAR-10 recipe. A value of 0 stands for the recipe's, shrunk on digits."""

    workdir: Path = Path("runs/consistency_cifar")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    teacher: Path = Path("runs/edm_cifar")
    """A run of experiments.edm_cifar, or a published EDM pickle; on digits and in a smoke run it is trained first where
    there is none."""
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
    ema_rampup: float = 0.0
    """The half-life is at most this share of the images seen so far; 0 for no such limit."""


def resolve(config: Config) -> Config:
    """Zeros replaced: by values that suit 8x8 digits, by the paper's on all other data.

    Raises: ValueError when there are no such data.
    """
    config = image_shape.fitted(config)
    recipe = RECIPES[config.method]
    if datasets.find(config.data).small:
        recipe = Recipe(1_000, 128, 5e-4, 0.99, 0.0)
    halflife = round(recipe.batch_size * np.log(0.5) / np.log(recipe.decay))
    values: dict[str, Any] = {**recipe._asdict(), "ema_halflife": halflife, "warmup": recipe.batch_size}
    del values["decay"], values["dropout"]
    return replace(config, **{name: getattr(config, name) or value for name, value in values.items()})


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(image_shape.few(config), num_steps=2, scales=config.scales or 20, stages=2)


def network(config: Config) -> tuple[Any, Callable[[], Params]]:
    """Return (network, a reader of the teacher's parameters): the teacher's, or DDPM++ where there is none.

    Raises: ValueError when the teacher is no EDM model of images in the coordinates that the student is made for.
    """
    if not METHODS[config.method].from_teacher:
        shared = {name: getattr(config, name) for name in ("data", "resolution", "channels", "classes")}
        alone = edm_cifar.resolve(edm_cifar.Config(recipe="uncond_vp", **shared))
        return edm_cifar.network(edm_cifar.smoke(alone) if config.smoke else alone), dict
    if config.teacher.is_file():
        net, params, _, metadata = load_edm(config.teacher)
        consistency_teacher.check_teacher(
            config, metadata["class_name"] == "EDMPrecond", metadata["kwargs"].get("sigma_data", 0.5)
        )
        return net, lambda: params
    if not config.teacher.exists():
        how = "give a run of experiments.edm_cifar --recipe uncond_vp, or a published EDM pickle"
        raise ValueError(f"--teacher {config.teacher} does not exist, and method {config.method} needs one: {how}")
    trained, edm = runs.of_run(config.teacher)
    consistency_teacher.check_teacher(config, isinstance(trained, edm_cifar.Config) and trained.row == "F", 0.5)
    return edm_cifar.network(trained), partial(consistency_teacher.read_teacher, trained, edm)


def system(config: Config) -> System:
    """The network with the recipe's dropout; images are not augmented."""
    module, teacher = network(config)
    if not datasets.find(config.data).small:
        module = module.clone(dropout=RECIPES[config.method].dropout)
    shape = (module.img_resolution, module.img_resolution, module.in_channels)
    return consistency.assemble(config, of_images(config, module, shape, module.label_dim), teacher)


EXPERIMENT = experiment.Experiment("consistency_cifar", Config, system, smoke, resolve)


def main(config: Config) -> None:
    """On digits, and in a smoke run, the teacher where it is needed and missing; then train, draw, evaluate."""

    def train(folder: Path) -> None:
        shared = {name: getattr(config, name) for name in ("data", "held_out", "smoke")}
        edm_cifar.main(edm_cifar.Config(workdir=folder, recipe="uncond_vp", **shared))

    with cli.bad_input():
        config = resolve(config)
    if datasets.find(config.data).small or config.smoke:
        config = consistency_teacher.with_teacher(config, train)
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.consistency_cifar")
