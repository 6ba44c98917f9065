"""A finished or broken-off run read back: its config, its system, its averaged parameters."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import jax

import experiments
from experiments import claim, stages, workdir
from experiments.system import System
from jaxdiff import keys
from jaxdiff.train import sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.types import Params


def names() -> list[str]:
    """Modules of this package that can train: those with a Config and a system."""
    modules = (
        importlib.import_module(f"experiments.{info.name}") for info in pkgutil.iter_modules(experiments.__path__)
    )
    return [module.__name__.split(".")[1] for module in modules if hasattr(module, "system")]


def of_run(folder: Path) -> tuple[Any, System]:
    """The config of a run and the system that it describes.

    Raises: ValueError when the folder holds no run of an experiment that is known here.
    """
    fields = workdir.read_json(folder / "config.json")
    experiment, *_ = (fields.pop(name, None) for name in claim.BESIDE)
    if experiment not in names():
        raise ValueError(f"{folder} holds experiment {experiment!r}; known are {', '.join(names())}")
    module = importlib.import_module(f"experiments.{experiment}")
    known = module.Config.__dataclass_fields__
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise ValueError(f"{folder}/config.json has unknown fields {', '.join(unknown)}")
    values = {name: workdir.from_json(value, known[name].type) for name, value in fields.items()}
    config = module.Config(workdir=folder, **values)
    if hasattr(module, "resolve"):  # what a run from before a field was added has of it
        config = module.resolve(config)
    return config, module.system(config)


def averaged_params(config: Any, system: System) -> tuple[Params, int]:
    """The moving average of the newest readable checkpoint, and its step.

    Raises: ValueError when the run has none yet.
    """
    like = jax.eval_shape(stages.learning(config, system).create, keys.of_seed(0))
    replicated = sharding.replicated(sharding.data_mesh())
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated), like)
    if not (config.workdir / "checkpoints").is_dir():
        raise ValueError(f"{config.workdir} has no checkpoint yet: train it first")
    restored = Checkpoints(config.workdir).restore(like)
    if restored is None:
        raise ValueError(f"{config.workdir} has no checkpoint yet: train it first")
    return restored.state.ema, restored.step
