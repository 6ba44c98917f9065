"""Read a run, finished or broken off: its config, its system, its averaged parameters."""

import importlib
from pathlib import Path
from typing import Any

import jax

from experiments import EXPERIMENTS
from experiments.harness import claim, workdir
from experiments.harness.experiment import Experiment
from experiments.harness.system import System
from experiments.harness.training import trainer
from jaxdiff import keys
from jaxdiff.train import sharding
from jaxdiff.train.checkpoint import Checkpoints, Restored
from jaxdiff.types import Params, PyTree


def experiment_of(folder: Path, name: Any) -> Experiment:
    """Return the experiment of a name.

    Raises: ValueError, naming the folder that holds it, when there is none.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"{folder} holds experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return importlib.import_module(f"experiments.{name}").EXPERIMENT


def of_run(folder: Path) -> tuple[Any, System]:
    """Read the config of a run, and build the system that it describes.

    Raises: ValueError when the folder holds no run of an experiment that is in the table.
    """
    experiment = experiment_of(folder, workdir.read_json(folder / "config.json").get("experiment"))
    config = config_of(folder, experiment)
    return config, experiment.system(config)


def of_images(folder: Path) -> tuple[Any, System]:
    """Return the same of a run that draws images.

    Raises: ValueError as `of_run`, or when the run draws points.
    """
    config, system = of_run(folder)
    if len(system.shape) != 3:
        raise ValueError(f"{folder} holds a run that draws points, and this is measured of images only")
    return config, system


def config_of(folder: Path, experiment: Experiment) -> Any:
    """Return the config of a run of an experiment.

    Raises: ValueError when the folder holds none.
    """
    found = workdir.read_json(folder / "config.json")
    for key in claim.OWN_ENTRIES:
        found.pop(key, None)
    fields = experiment.config.__dataclass_fields__
    if unknown := [name for name in found if name not in fields]:
        raise ValueError(f"{folder}/config.json has unknown fields {', '.join(unknown)}")
    values = {name: workdir.from_json(value, fields[name].type) for name, value in found.items()}
    return experiment.resolve(experiment.config(workdir=folder, **values))  # with fields that were added since


def averaged_params(config: Any, system: System) -> tuple[Params, int]:
    """Read the moving average of the newest readable checkpoint, and its step.

    Raises: ValueError when the run has none yet.
    """
    like = jax.eval_shape(trainer(config, system).create, keys.from_seed(0))
    if (restored := restore(config.workdir, like)) is None:
        raise ValueError(f"{config.workdir} has no checkpoint yet: train it first")
    return restored.state.ema, restored.step


def restore(folder: Path, like: PyTree) -> Restored | None:
    """Read the newest readable checkpoint of a folder, onto each device whole; None where there is none."""
    if not (folder / "checkpoints").is_dir():
        return None
    replicated = sharding.replicated(sharding.data_mesh())
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated), like)
    return Checkpoints(folder).restore(like)
