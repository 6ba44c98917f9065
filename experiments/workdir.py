"""The folder of a run: what is in it, and how it is read and written without ever losing anything."""

import dataclasses
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import jax

WHERE = (
    *("workdir", "fsdp", "distributed", "coordinator_address", "num_processes", "process_id"),
    *("tensorboard", "wandb", "grid_every", "profile"),
)
"""Fields of a config that say where a run is, on what, and who watches it, not what it is: a run may go on on other
devices, watched by others."""


def claim(workdir: Path, experiment: str, config: Any) -> Path:
    """Make the folder this run's own, or find that it already is.

    Raises: ValueError when the folder holds another experiment or the same one with another config, naming the first
      field that differs; OSError when it cannot be written. Nothing is written in these cases.
    """
    wanted = {"experiment": experiment, **to_json(config)}
    path = workdir / "config.json"
    if path.exists():
        found = {**_defaults(config), **read_json(path)}
        for name in [*wanted, *(name for name in found if name not in wanted)]:
            if found.get(name) != wanted.get(name):
                raise ValueError(
                    f"{workdir} holds a run with {name}={found.get(name)!r}, not {wanted.get(name)!r}: "
                    "choose another --workdir or the same flags"
                )
        return workdir
    if workdir.is_dir() and any(workdir.iterdir()):
        raise ValueError(f"{workdir} is not empty and holds no config.json: choose another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)
    return workdir


def _defaults(config: Any) -> dict[str, Any]:
    """What a run made before a field was added has of it."""
    fields = {f.name: f.default for f in dataclasses.fields(config) if f.default is not dataclasses.MISSING}
    return json.loads(json.dumps({name: value for name, value in fields.items() if name not in WHERE}, default=str))


def to_json(config: Any) -> dict[str, Any]:
    """Fields of a config as JSON values, without those of `WHERE`."""
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in WHERE}
    return json.loads(json.dumps(fields, default=str))


def read_json(path: Path) -> dict[str, Any]:
    """Raises: ValueError naming the file when it is not a JSON object."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: is --workdir the folder of a run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, found {type(found).__name__}")
    return found


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all: written beside its place, then moved there."""
    with replacing(path) as file:
        file.write(json.dumps(value, indent=2).encode() + b"\n")


def add_json(path: Path, entries: dict[str, Any]) -> None:
    """Put entries into the JSON object of a file, which is made where it is not there; others in it stay.

    Raises: ValueError when the file holds no JSON object.
    """
    write_json(path, {**(read_json(path) if path.exists() else {}), **entries})


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside its place that moves there once it is on the disk; after an error what was there is as it was."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False) as file:
        try:
            yield file  # type: ignore[misc]
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def environment() -> dict[str, Any]:
    """Device and versions, which stand beside every reported number."""
    devices = jax.devices()
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scikit-learn")
    return {
        "device": f"{len(devices)} x {devices[0].device_kind}",
        "cpu_cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }
