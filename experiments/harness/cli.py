"""Command lines: flags from a frozen dataclass; one clear line and exit status 2 for bad input."""

import contextlib
import dataclasses
import difflib
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from experiments.harness import allowed, help_groups
from jaxdiff.imports import MissingExtra
from jaxdiff.train import paths

T = TypeVar("T")
NO_PATHS = ("coordinator_address", "wandb")
"""Strings that are no places of files."""


class InputError(ValueError):
    """What the caller can correct; shown as one line, without a traceback."""


@contextlib.contextmanager
def bad_input() -> Iterator[None]:
    """Wrap the part of an experiment that checks before it writes: what it finds wrong is the caller's to mend."""
    try:
        yield
    except (ValueError, OSError, MissingExtra) as error:
        raise InputError(str(error)) from error


def one_of(names: Iterable[str]) -> PrimitiveConstructorSpec[str]:
    """Return the annotation of a flag that takes one of some names, such as the rows of a table.

    Example:
      >>> from typing import Annotated
      >>> Config = dataclasses.make_dataclass("Config", [("sde", Annotated[str, one_of({"vp": 1, "ve": 2})], "vp")])
      >>> parse(Config, ["--sde", "ve"]).sde
      've'
    """
    choices = tuple(names)
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(choices) + "}",
        instance_from_str=lambda given: given[0],
        is_instance=lambda value: value in choices,
        str_from_instance=lambda value: [value],
        choices=choices,
    )


def parse(config_type: Callable[..., T], argv: Sequence[str] | None = None, prog: str | None = None) -> T:
    """Parse flags into a dataclass and check its numbers; tyro's framed message is reduced to its first sentence."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = boxed(config_type, argv, prog)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_sentence(said.getvalue()) + _meant(said.getvalue(), config_type)) from None
    with bad_input():
        allowed.check(config)
        check_paths(config)
    return config


def boxed(config_type: Callable[..., T], argv: Sequence[str] | None, prog: str | None) -> T:
    """Parse flags by tyro, their help in the groups that the dataclass names."""
    groups = getattr(config_type, "in_help", None)
    if groups is None:
        return tyro.cli(config_type, args=argv, prog=prog)
    whole = help_groups.grouped(config_type, groups)  # type: ignore[arg-type]
    return whole.join(tyro.cli(whole.config_type, args=argv, prog=prog))


def check_paths(config: Any) -> None:
    """Raise ValueError for an address such as gs://bucket/run where a path, or a name that may be one, is asked for."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, PurePath) or (isinstance(value, str) and field.name not in NO_PATHS):
            paths.check_local(value, allowed.flag(field.name))


def _sentence(framed: str) -> str:
    """The text between a box's top line and its first rule."""
    body = re.split(r"\n\s*│?\s*─{3,}", framed.strip(), maxsplit=1)[0].split("\n", 1)[-1]
    return " ".join(line.strip("│╭╮╰╯─ ") for line in body.splitlines()).strip()


def _meant(framed: str, config_type: Any) -> str:
    """The flags that an unknown one is like, as a question."""
    unknown = re.search(r"Unrecognized options: (--[\w-]+)", framed)
    if unknown is None or not dataclasses.is_dataclass(config_type):
        return ""
    names = [field.name for field in dataclasses.fields(config_type)]
    name = unknown[1].removeprefix("--").replace("-", "_")  # two dashes in common are no likeness
    like = [other for other in names if other.startswith(name)] or difflib.get_close_matches(name, names, n=1)
    return f": did you mean {' or '.join(map(allowed.flag, like))}?" if like else ""


def run(main: Callable[[T], None], config_type: Callable[..., T], prog: str) -> None:
    """Parse, run, and exit with 2 on bad input, 1 on a run that broke down, 130 on Ctrl-C, 0 else."""
    from experiments.harness import devices, waiting

    try:
        config = parse(config_type, prog=prog)
        with bad_input():
            devices.join(config)
        devices.compile_quickly(config)
        with waiting.watched(prog):
            main(config)
        devices.leave(config)
    except (InputError, MissingExtra) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{prog}: interrupted: what was saved is kept", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, breakdowns()):
            raise
        print(f"{prog}: stopped: {error}", file=sys.stderr)
        sys.exit(1)


def breakdowns() -> tuple[type[Exception], ...]:
    """Return the exceptions of a run that broke down; imported when there is one, for diffrax is slow to import."""
    from jaxdiff.probability_flow import SolverStopped
    from jaxdiff.train.checkpoint import CheckpointError
    from jaxdiff.train.loop import TrainingDiverged

    return TrainingDiverged, SolverStopped, FloatingPointError, CheckpointError
