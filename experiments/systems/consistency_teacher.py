"""The teacher of a consistency model: trained where it is needed and missing, checked, and read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from experiments.harness import cli, runs, training
from experiments.harness.system import System
from experiments.systems import consistency
from experiments.systems.consistency_choices import METHODS
from jaxdiff.types import Params

Student = TypeVar("Student", bound=consistency.Consistency)


def with_teacher(config: Student, train: Callable[[Path], None]) -> Student:
    """Return the config with a teacher that is there, trained where it is needed and missing; a smoke run has its own.

    Args:
      train: trains a teacher in a folder.
    """
    there = config.teacher.is_file() or (config.teacher / "report.json").exists()
    if there or not METHODS[config.method].from_teacher:
        return config
    with cli.bad_input():
        training.check(config)
        consistency.check(config)
    if config.smoke:
        name = f"{config.teacher.name}_smoke_{Path(config.data).stem}"
        config = replace(config, teacher=config.teacher.with_name(name))
    train(config.teacher)
    return config


def check_teacher(config: Any, is_edm: bool, sigma_data: float | None) -> None:
    """Raise ValueError unless the teacher is an EDM model for data of the same standard deviation."""
    if not is_edm:
        raise ValueError(f"teacher {config.teacher} must be a model with EDM's preconditioning, of the same images")
    if sigma_data != config.sigma_data:
        raise ValueError(f"sigma_data={config.sigma_data}, but that of teacher {config.teacher} is {sigma_data}")


def read_teacher(config: Any, system: System) -> Params:
    """Return the averaged parameters of a finished run.

    Raises: ValueError when it is not finished.
    """
    params, step = runs.averaged_params(config, system)
    if step < config.steps:
        raise ValueError(f"teacher {config.workdir} is at step {step} of {config.steps}: finish it first")
    return params
