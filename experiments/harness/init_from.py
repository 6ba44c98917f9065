"""Begin a run at the parameters of another: what fits by name and shape is taken, the rest stays new and is named."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from tqdm import tqdm

from experiments.harness import workdir
from experiments.harness.system import System, Trainer
from jaxdiff import interop, keys
from jaxdiff.interop import exported
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.train import hosts, sharding
from jaxdiff.train.checkpoint import Checkpoints

Arrays = Mapping[str, np.ndarray]
RECORD = "init_from.json"
"""In the run's folder: what was taken, and what is new."""


class Start(NamedTuple):
    """What a run begins with: arrays by name; why each other parameter is new; how many of the file found no place."""

    path: Path
    taken: Arrays
    new: dict[str, str]
    unused: int


def of_run(path: Path) -> Arrays:
    """Read the averaged parameters of a run, or what experiments.convert made of a published model.

    Raises: ValueError when the folder holds neither, or no checkpoint.
    """
    entry = "ema" if "experiment" in workdir.read_json(path / "config.json") else "params"
    found = Checkpoints(path).read(entry) if (path / "checkpoints").is_dir() else None
    if found is None:
        raise ValueError(f"{path} has no checkpoint yet: train it first")
    flat = flatten_dict({entry: found.state}, sep=".")
    # A consistency model's average holds more than its network's, whose names begin with params.
    return {name[name.index("params.") :]: a for name, a in flat.items() if "params." in name}


def of_loaded(load: Callable[[Path], tuple[Any, ...]]) -> Callable[[Path], Arrays]:
    """Return the reader of a file that `load` reads into (network, params, ...)."""
    return lambda path: {name: np.asarray(a) for name, a in flatten_dict(load(path)[1], sep=".").items()}


READERS: dict[str, Callable[[Path], Arrays]] = {
    **dict.fromkeys(exported.files.FORMATS, exported.files.read),
    ".pkl": of_loaded(interop.load_edm),
    **dict.fromkeys(interop.consistency.PUBLISHED, of_loaded(interop.load_consistency)),
    **{
        name: of_loaded(lambda path, options=options: interop.load_ddgan(path, options))  # type: ignore[misc]
        for name, options in interop.ddgan.PUBLISHED.items()
    },
}
"""Files by suffix, and by the names that their authors gave them. To read another, add its row."""


def read(path: Path) -> Arrays:
    """Read parameters by name from a run's folder or a file; nothing in it is executed.

    Raises: ValueError when they cannot be read, with the path; OSError.
    """
    if path.is_dir():
        return of_run(path)
    if not path.exists():
        raise ValueError(f"--init-from {path} does not exist")
    reader = READERS.get(path.name) or READERS.get(path.suffix)
    if reader is None:
        raise ValueError(f"--init-from {path}: give the folder of a run, or a file {', '.join(READERS)}")
    try:
        return reader(path)
    except CheckpointFormatError as error:
        raise ValueError(f"--init-from {path}: {error}") from error


def start(path: Path, system: System) -> Start:
    """Read what a run of a system begins with.

    Raises: ValueError when no kernel of the file has the name and the shape of one of the network's; as `read`.
    """
    found = read(path)
    wanted = flatten_dict(jax.eval_shape(system.init, keys.from_seed(0)), sep=".")
    taken = {name: found[name] for name, a in wanted.items() if name in found and found[name].shape == a.shape}
    new = {
        name: f"{list(found[name].shape)} there, {list(a.shape)} here" if name in found else "not there"
        for name, a in wanted.items()
        if name not in taken
    }
    if not any(a.ndim > 1 for a in taken.values()):
        name, why = next(iter(new.items()))
        raise ValueError(f"--init-from {path}: none of its kernels fits the network of this run ({name} is {why})")
    return Start(path, taken, new, len(set(found) - set(wanted)))


def begin(trainer: Trainer, state: Any, begun: Start) -> Any:
    """Put the parameters into a new state, in the type and on the devices of those that they replace."""
    fresh = flatten_dict(trainer.trained(state.params), sep=".")
    put = lambda name, a: sharding.shard(np.asarray(begun.taken[name], a.dtype), a.sharding)  # noqa: E731
    return trainer.adopt(
        state, unflatten_dict({n: put(n, a) if n in begun.taken else a for n, a in fresh.items()}, sep=".")
    )


def say(folder: Path, begun: Start) -> None:
    """Print what was taken and name what is new; the run keeps it."""
    if not hosts.is_primary():
        return
    total = len(begun.taken) + len(begun.new)
    named = "; new: " + ", ".join(f"{name} ({why})" for name, why in begun.new.items()) if begun.new else ""
    unused = f"; {begun.unused} of the file find no place here" if begun.unused else ""
    tqdm.write(
        f"starting from {begun.path}: {len(begun.taken)} of {total} arrays of parameters are taken{named}{unused}"
    )
    record = {"from": str(begun.path), "taken": len(begun.taken), "new": begun.new, "unused": begun.unused}
    workdir.write_json(folder / RECORD, record)
