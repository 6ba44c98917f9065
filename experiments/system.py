"""What every experiment builds and every command that works on a run reads."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import experiments
from experiments import workdir as workdirs
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, Denoiser, Float, Key, Params


class System(NamedTuple):
    """A diffusion system as four functions and the shape of its data.

    init(key) -> params
    loss(params, key, batch) -> [B], for a batch {"image": [B, H, W, C] in [-1, 1], "label": [B]}
    denoiser(params, labels) -> Denoiser; labels [B] integers or None
    shape: (H, W, C); num_classes: 0 where nothing is conditioned on
    """

    init: Callable[[Key], Params]
    loss: Callable[[Params, Key, dict[str, Array]], Float[Array, " B"]]
    denoiser: Callable[[Params, Array | None], Denoiser]
    precond: Preconditioning
    shape: tuple[int, ...]
    num_classes: int


def names() -> list[str]:
    """Modules of this package that can train: those with a Config and a system."""
    modules = (
        importlib.import_module(f"experiments.{info.name}") for info in pkgutil.iter_modules(experiments.__path__)
    )
    return [module.__name__.split(".")[1] for module in modules if hasattr(module, "system")]


def of_run(workdir: Path) -> tuple[Any, System]:
    """The config of a run and the system that it describes.

    Raises: ValueError when the folder holds no run of an experiment that is known here.
    """
    fields = workdirs.read_json(workdir / "config.json")
    experiment = fields.pop("experiment", None)
    if experiment not in names():
        raise ValueError(f"{workdir} holds experiment {experiment!r}; known are {', '.join(names())}")
    module = importlib.import_module(f"experiments.{experiment}")
    known = module.Config.__dataclass_fields__
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise ValueError(f"{workdir}/config.json has unknown fields {', '.join(unknown)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    config = module.Config(workdir=workdir, **values)
    return config, module.system(config)
