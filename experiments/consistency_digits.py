"""Consistency models on scikit-learn's 8x8 handwritten digits, class-conditional: one evaluation from noise to image.

    python -m experiments.consistency_digits                  # distilled (CD) from the EDM run, trained first if absent
    python -m experiments.consistency_digits --method ect     # or ct, ict, scd, sct
    python -m experiments.sample --workdir runs/consistency_digits --num-steps 2

Each leaves samples.png, samples.npz and report.json in --workdir. Interrupt a run whenever you like: the same command
goes on from the last checkpoint.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from experiments import edm_digits
from experiments.harness import cli, experiment, runs, training
from experiments.harness.system import System
from experiments.systems import consistency, consistency_teacher, digits_unet
from experiments.systems.consistency_choices import METHODS, WEIGHTS
from jaxdiff.types import Params


@dataclass(frozen=True)
class Config(consistency.Consistency):
    """A consistency model of 8x8 digits. Defaults were chosen on this data set; what is not named is the papers'."""

    workdir: Path = Path("runs/consistency_digits")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    teacher: Path = Path("runs/edm_digits")
    """A run of experiments.edm_digits, whose network this one copies; it is trained first where there is none."""
    steps: int = 2_000
    """Training steps."""
    batch_size: int = 64
    """Images a step, over all devices."""
    learning_rate: float = 1e-3
    """Of Adam, after warm-up."""
    cooldown: float = 0.8
    """Share of the steps, at the end, over which the learning rate falls to 0."""
    weighting: Annotated[str, cli.one_of(WEIGHTS)] = "karras"
    """cd, ct: of a level. Uniform weights teach the network nothing at low levels, where its output counts for little,
    and what is wrong there goes wrong at all levels above."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(training.smoke(config), num_steps=2, scales=config.scales or 20, stages=2)


def system(config: Config) -> System:
    """The teacher's network, trained by the method."""
    unet: Any = digits_unet.module(digits_unet.DigitsUNet())
    teacher: Callable[[], Params] = dict
    if METHODS[config.method].from_teacher:
        trained, edm = runs.of_run(config.teacher)
        is_edm = isinstance(trained, edm_digits.Config)
        consistency_teacher.check_teacher(config, is_edm, getattr(trained, "sigma_data", None))
        unet, teacher = digits_unet.module(trained), partial(consistency_teacher.read_teacher, trained, edm)
    return consistency.assemble(config, digits_unet.network(config, unet), teacher)


EXPERIMENT = experiment.Experiment("consistency_digits", Config, system, smoke)


def main(config: Config) -> None:
    """The teacher where it is needed and missing; then train, draw, evaluate."""
    train = lambda folder: edm_digits.main(edm_digits.Config(workdir=folder, smoke=config.smoke))  # noqa: E731
    config = consistency_teacher.with_teacher(config, train)
    experiment.run(EXPERIMENT, config)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.consistency_digits")
