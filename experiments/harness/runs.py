"""Read a run, finished or broken off: its config, its system, its averaged parameters."""

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments import EXPERIMENTS
from experiments.harness import claim, workdir
from experiments.harness.experiment import Experiment
from experiments.harness.system import System, Trainer
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
    fields = {field.name: field for field in dataclasses.fields(experiment.config)}
    if unknown := [name for name in found if name not in fields]:
        raise ValueError(f"{folder}/config.json has unknown fields {', '.join(unknown)}")
    values = {name: workdir.from_json(value, fields[name].type) for name, value in found.items()}
    return experiment.resolve(experiment.config(workdir=folder, **values))  # with fields that were added since


class Trained(NamedTuple):
    """A run that can be asked: `system.denoiser(params, labels)` is its denoiser, with averaged parameters."""

    config: Any
    system: System
    params: Params
    step: int


def load(folder: Path | str) -> Trained:
    """Read a run's config, build the network that it describes, and read its averaged parameters and no others.

    Raises: ValueError as `of_run`, or when there is no checkpoint yet.
    """
    config, system = of_run(Path(folder))
    return Trained(config, system, *averaged_params(config, system))


def averaged_params(config: Any, system: System) -> tuple[Params, int]:
    """Read the moving average of the newest readable checkpoint, and its step.

    Raises: ValueError when the run has none yet.
    """
    return _entry(config, system, "ema")


PARTS: dict[str, tuple[str, Callable[[Trainer], Callable[[Any], Params]]]] = {
    "average": ("ema", lambda how: how.averaged),
    "last": ("params", lambda how: how.trained),
}
"""A network's parameters: the entry of the state that has them, and what takes them from there."""


def network_params(config: Any, system: System, part: str = "average") -> tuple[Params, int]:
    """Read the parameters of the network alone, averaged or as they were trained last, and their step.

    Raises: ValueError when the run has none yet.
    """
    entry, of_network = PARTS[part]
    found, step = _entry(config, system, entry)
    return of_network(trainer(config, system))(found), step


def _entry(config: Any, system: System, name: str) -> tuple[Any, int]:
    """One entry of the state; the others, such as the optimizer's, are not read."""
    like = jax.eval_shape(trainer(config, system).create, keys.from_seed(0))
    restored = restore(config.workdir, {name: getattr(like, name)}, partial=True)
    if restored is None:
        raise ValueError(f"{config.workdir} has no checkpoint yet: train it first")
    return restored.state[name], restored.step


def restore(folder: Path, like: PyTree, partial: bool = False) -> Restored | None:
    """Read the newest readable checkpoint of a folder, or a part of it, onto each device whole; None without any."""
    if not (folder / "checkpoints").is_dir():
        return None
    replicated = sharding.replicated(sharding.data_mesh())
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated), like)
    return Checkpoints(folder).restore(like, partial)
