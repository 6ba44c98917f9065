"""Claim a workdir for one run: which fields may change when it goes on, which only by --override; all is recorded."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from experiments.harness import cli, lock, workdir
from jaxdiff.train import hosts, paths

MAY_CHANGE = (
    *("steps", "num_samples", "log_every", "checkpoint_every", "keep_last", "keep_every"),
    *("steps_per_dispatch", "remat"),
)
"""Fields of a config that say how far, how often and how a run is computed, not what it computes."""
OVERRIDABLE = (
    *("learning_rate", "discriminator_rate", "warmup", "cooldown", "clip_norm", "batch_size", "accumulate"),
    *("ema_halflife", "ema_rampup", "decay", "dropout", "label_dropout", "dtype"),
    *("p_mean", "p_std", "weighting", "gamma", "r1_every"),
)
"""Fields that say how the network is trained, which `--override NAME` changes from a step on: the network, its data and
what its output means are the same."""
INHERITED = ("init_from",)
"""Fields that count at the start only: without the flag, a run that goes on has those that it began with."""
OWN_ENTRIES = ("experiment", "data_digest", "history")
"""What config.json holds that is no field of a config: the module, a digest of image files, the changes so far."""


def unchanged(config: Any) -> Any:
    """Return the config as it is: of experiments without values to resolve."""
    return config


class Owner(NamedTuple):
    """Whose a folder is: the experiment's name, its config, the digest of its data, and how its config is resolved.

    digest: where --data names files, which it identifies wherever they lie; resolve(config) fills in what a config
    leaves to its recipe.
    """

    experiment: str
    config: Any
    digest: str | None = None
    resolve: Callable[[Any], Any] = unchanged


@contextmanager
def claimed(folder: Path, owner: Owner) -> Iterator[Path]:
    """Make the folder this run's own, or find that it is, and be alone in it; what changed is put into its history.

    Process 0 acts for all processes of a distributed run.

    Raises: InputError, a ValueError, as `check`, or when another run is at work there, or it cannot be written.
    """
    with ExitStack() as stack:

        def begin() -> None:
            check(folder, owner)
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.alone(folder))
            changed = check(folder, owner)  # by now it may be another's
            if changed or not (folder / "config.json").exists():
                _write(folder, _wanted(owner), changed)

        with cli.bad_input():
            hosts.run_on_primary(begin)
        yield folder


def check(folder: Path, owner: Owner) -> dict[str, list[Any]]:
    """Compare the run in a folder with this one: {field: [before, now]} of what differs. Nothing is written.

    Raises: ValueError when the folder holds another experiment, or the same one with a field that may not change,
      naming it; when it holds other files; when it has gone further than `steps`; when no checkpoint could be read back
      from there.
    """
    paths.check_readable(folder, "--workdir")
    path = folder / "config.json"
    if not path.exists():
        if folder.is_dir() and not workdir.empty(folder):
            raise ValueError(f"{folder} is not empty and holds no config.json: choose another --workdir")
        return {}
    wanted, found = _wanted(owner), workdir.read_json(path)
    if found.get("experiment") == owner.experiment:
        found = {**_before(owner, found), **found}
    found.pop("history", None)
    names = dict.fromkeys([*wanted, *found])
    changed = {n: [found.get(n), wanted.get(n)] for n in names if found.get(n) != wanted.get(n)}
    said = _overridden(owner.config)
    may = {*MAY_CHANGE, *said, *_of_data(changed, wanted, found)}
    refused = [name for name in changed if name not in may]
    for name in refused:
        before, now = changed[name]
        ways = "choose another --workdir or the same flags"
        if hasattr(owner.config, "override") and set(refused) <= set(OVERRIDABLE):
            ways = f"choose another --workdir, the same flags, or change it from here on by {_flags(changed)}"
        elif name in OVERRIDABLE:
            continue  # of several, that which can never change
        named = "data_digest (the images themselves)" if name == "data_digest" else name
        raise ValueError(f"{folder} holds a run with {named}={before!r}, not {now!r}: {ways}")
    if "steps" in changed and wanted["steps"] < (done := reached(folder)):
        raise ValueError(f"{folder} holds a run that has reached step {done}, got steps={wanted['steps']}")
    if (late := [name for name in changed if name in said]) and reached(folder) >= wanted["steps"]:
        raise ValueError(
            f"{_flags(dict.fromkeys(late))}: the run in {folder} has all its {wanted['steps']} steps: "
            "give more --steps with it"
        )
    return changed


def inherited(config: Any) -> Any:
    """Return the config with what the run in its workdir has begun with, where the flags do not say it."""
    path = config.workdir / "config.json"
    found = workdir.read_json(path) if path.exists() else {}
    began = {name: Path(found[name]) for name in INHERITED if getattr(config, name) is None and found.get(name)}
    return dataclasses.replace(config, **began)


def _overridden(config: Any) -> list[str]:
    """The fields that --override names.

    Raises: ValueError for a name that is none of `OVERRIDABLE`.
    """
    names = [name.removeprefix("--").replace("-", "_") for name in getattr(config, "override", ())]
    fields = {field.name for field in dataclasses.fields(config)}
    for name in names:
        if name not in OVERRIDABLE or name not in fields:
            known = ", ".join(field.replace("_", "-") for field in OVERRIDABLE if field in fields)
            raise ValueError(f"--override {name.replace('_', '-')}: a run may change {known}; another needs a new run")
    return names


def _flags(changed: dict[str, Any]) -> str:
    return f"--override {' '.join(name.replace('_', '-') for name in changed if name in OVERRIDABLE)}"


def _of_data(changed: dict[str, Any], wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Files may lie elsewhere, as their digest decides; a run from before digests gets that of the same place."""
    before, now = found.get("data_digest"), wanted.get("data_digest")
    if before and now:
        return ["data"]
    return ["data_digest"] if now and "data" not in changed else []


def reached(folder: Path) -> int:
    """Return the step of a run's newest checkpoint, by its name; 0 where there is none."""
    return max((int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()), default=0)


def _wanted(owner: Owner) -> dict[str, Any]:
    digest = {"data_digest": owner.digest} if owner.digest else {}
    return {"experiment": owner.experiment, **workdir.to_json(owner.config), **digest}


def _before(owner: Owner, found: dict[str, Any]) -> dict[str, Any]:
    """Fields that were added after a run was made, at their defaults, resolved."""
    config = owner.config
    fields = {f.name: f for f in dataclasses.fields(config) if f.name not in workdir.WHERE}
    absent = {n: f.default for n, f in fields.items() if n not in found and f.default is not dataclasses.MISSING}
    kept = {n: workdir.from_json(found[n], f.type) for n, f in fields.items() if n in found and n != "data"}
    # Its data are identified by their digest, wherever they lie now.
    was = dataclasses.replace(config, **kept, **absent)
    was = owner.resolve(was) if absent else was
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
