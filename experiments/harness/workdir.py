"""The folder of a run: what is in it, and how its files are read and written whole or not at all.

Whose it is, says `claim`; that one process at a time writes there, `lock`.
"""

import dataclasses
import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import jax

from jaxdiff.atomic import atomic

LITTER = re.compile(
    r"\.DS_Store|Thumbs\.db|desktop\.ini|lost\+found|@eaDir|\.(ipynb_checkpoints|directory|localized|Spotlight-V100|"
    r"TemporaryItems|fseventsd|snapshot|lock)|\.(_|Trash|nfs|fuse_hidden).*|\..*\.partial"
)
"""Names that make no folder somebody's; .lock and .NAME.partial are our own, of a process that died or begins."""
WHERE = (
    *("workdir", "fsdp", "distributed", "coordinator_address", "num_processes", "process_id"),
    *("tensorboard", "wandb", "grid_every", "profile", "override"),
)
"""Fields of a config that say where a run is, on what, and who watches it, not what it is: a run may go on on other
devices, watched by others. They are not in config.json."""


def empty(folder: Path) -> bool:
    """Return whether nothing is at a place but what file systems, file managers and Jupyter put there."""
    return not folder.exists() or (folder.is_dir() and all(LITTER.fullmatch(path.name) for path in folder.iterdir()))


def to_json(config: Any) -> dict[str, Any]:
    """Return the fields of a config as JSON values, without those of `WHERE`."""
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in WHERE}
    return json.loads(json.dumps(fields, default=str))


def from_json(value: Any, declared: Any) -> Any:
    """Restore a config's field as it was before it was written: JSON knows neither paths nor tuples.

    Example:
      >>> from_json("a/b", Path | None)
      PosixPath('a/b')
    """
    if isinstance(value, str) and Path in (declared, *get_args(declared)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises: ValueError naming the file when it is none.
    """
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: is {path.parent} the folder of a run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, found {type(found).__name__}")
    return found


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    with atomic(path, overwrite=True) as part:
        part.write_text(json.dumps(value, indent=2) + "\n")


def add_json(path: Path, entries: dict[str, Any]) -> None:
    """Put entries into the JSON object of a file, which is made where it is not there; others in it stay.

    Raises: ValueError when the file holds no JSON object.
    """
    write_json(path, {**(read_json(path) if path.exists() else {}), **entries})


def environment() -> dict[str, Any]:
    """Return device and versions, reported with every number."""
    devices = jax.devices()
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scikit-learn")
    return {
        "device": f"{len(devices)} x {devices[0].device_kind}",
        "cpu_cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }
