"""Whose a folder is: one run's, of which some things may change, and others only by --override; all is recorded."""

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import lock, workdir
from jaxdiff.train import hosts, place

MAY_CHANGE = (
    *("steps", "num_samples", "log_every", "checkpoint_every", "keep_last", "keep_every"),
    *("steps_per_dispatch", "remat"),
)
"""Fields of a config that say how far, how often and how a run is computed, not what it computes."""
BESIDE = ("experiment", "data_digest", "history")
"""What config.json holds beside the fields: the module, a digest of image files, the changes so far."""


@contextmanager
def claimed(folder: Path, experiment: str, config: Any, digest: str | None = None) -> Iterator[Path]:
    """Make the folder this run's own, or find that it is, and be alone in it; what changed is put into its history.

    Process 0 acts for all processes of a distributed run.

    Args:
      digest: of the data, where --data names files: it is what they are known by, wherever they lie.
    Raises: ValueError as `check`, or when another run is at work there; OSError when it cannot be written.
    """
    with ExitStack() as held:

        def begin() -> None:
            check(folder, experiment, config, digest)
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock.alone(folder))
            changed = check(folder, experiment, config, digest)  # by now it may be another's
            if changed or not (folder / "config.json").exists():
                _write(folder, _wanted(experiment, config, digest), changed)

        hosts.by_first(begin)
        yield folder


def check(folder: Path, experiment: str, config: Any, digest: str | None = None) -> dict[str, list[Any]]:
    """What differs, {field: [before, now]}, of the run in a folder and this one; nothing is written.

    Raises: ValueError when the folder holds another experiment, or the same one with a field that may not change,
      naming it; when it holds other files; when it has gone further than `steps`; when no checkpoint could be read back
      from there.
    """
    place.check_readable(folder, "--workdir")
    path = folder / "config.json"
    if not path.exists():
        if folder.is_dir() and not workdir.empty(folder):
            raise ValueError(f"{folder} is not empty and holds no config.json: choose another --workdir")
        return {}
    wanted, found = _wanted(experiment, config, digest), workdir.read_json(path)
    if found.get("experiment") == experiment:
        found = {**_before(config, found), **found}
    found.pop("history", None)
    names = dict.fromkeys([*wanted, *found])
    changed = {n: [found.get(n), wanted.get(n)] for n in names if found.get(n) != wanted.get(n)}
    may = {*MAY_CHANGE, *_of_data(changed, wanted, found)}
    for name, (before, now) in changed.items():
        if name in may or (name != "experiment" and getattr(config, "override", False)):
            continue
        ways = "choose another --workdir or the same flags"
        if name != "experiment" and hasattr(config, "override"):
            ways = "choose another --workdir, the same flags, or --override to change it"
        named = "data_digest (the images themselves)" if name == "data_digest" else name
        raise ValueError(f"{folder} holds a run with {named}={before!r}, not {now!r}: {ways}")
    if "steps" in changed and wanted["steps"] < (done := reached(folder)):
        raise ValueError(f"{folder} holds a run that has reached step {done}, got steps={wanted['steps']}")
    return changed


def _of_data(changed: dict[str, Any], wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Files may lie elsewhere, as their digest decides; a run from before digests gets that of the same place."""
    before, now = found.get("data_digest"), wanted.get("data_digest")
    if before and now:
        return ["data"]
    return ["data_digest"] if now and "data" not in changed else []


def reached(folder: Path) -> int:
    """The step of a run's newest checkpoint, by its name; 0 where there is none."""
    return max((int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()), default=0)


def _wanted(experiment: str, config: Any, digest: str | None) -> dict[str, Any]:
    return {"experiment": experiment, **workdir.to_json(config), **({"data_digest": digest} if digest else {})}


def _before(config: Any, found: dict[str, Any]) -> dict[str, Any]:
    """What a run made before a field was added has of it: the default, or what its module puts in the place of that."""
    fields = {f.name: f for f in dataclasses.fields(config) if f.name not in workdir.WHERE}
    absent = {n: f.default for n, f in fields.items() if n not in found and f.default is not dataclasses.MISSING}
    kept = {n: workdir.from_json(found[n], f.type) for n, f in fields.items() if n in found and n != "data"}
    was = dataclasses.replace(config, **kept, **absent)  # its data are known by their digest, wherever they lie now
    resolve = getattr(sys.modules[type(config).__module__], "resolve", None)
    was = resolve(was) if absent and resolve else was
    return {name: value for name, value in workdir.to_json(was).items() if name in absent}


def _write(folder: Path, wanted: dict[str, Any], changed: dict[str, list[Any]]) -> None:
    """config.json as it is from now on, with what it was before."""
    path = folder / "config.json"
    history = workdir.read_json(path).get("history", []) if path.exists() else []
    if changed:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        history = [*history, {"time": now, "step": reached(folder), "changed": changed}]
        said = ", ".join(f"{name} {before!r} -> {after!r}" for name, (before, after) in changed.items())
        tqdm.write(f"{folder} goes on with {said}; config.json keeps its history")
    workdir.write_json(path, {**wanted, **({"history": history} if history else {})})
