"""Command lines: flags from a frozen dataclass; one clear line and exit status 2 for bad input."""

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import tyro

T = TypeVar("T")


class InputError(Exception):
    """Something that the caller can put right; shown as one line, without a traceback."""


@contextlib.contextmanager
def bad_input() -> Iterator[None]:
    """Wrap the part of an experiment that checks before it writes: what it finds wrong is the caller's to mend."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from error


def parse(config_type: Callable[..., T], argv: Sequence[str] | None = None, prog: str | None = None) -> T:
    """Flags to a dataclass. tyro's framed message is reduced to its first sentence."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(config_type, args=argv, prog=prog)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_sentence(said.getvalue())) from None


def _sentence(framed: str) -> str:
    """The text between a box's top line and its first rule."""
    body = re.split(r"\n\s*│?\s*─{3,}", framed.strip(), maxsplit=1)[0].split("\n", 1)[-1]
    return " ".join(line.strip("│╭╮╰╯─ ") for line in body.splitlines()).strip()


def run(main: Callable[[T], None], config_type: Callable[..., T], prog: str) -> None:
    """Parse, run, and exit with 2 on bad input, 1 on a run that broke down, 0 else."""
    from experiments import devices
    from jaxdiff.flow import SolverStopped
    from jaxdiff.train.loop import TrainingDiverged

    try:
        config = parse(config_type, prog=prog)
        with bad_input():
            devices.join(config)
        main(config)
        devices.leave(config)
    except InputError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except (TrainingDiverged, SolverStopped, FloatingPointError) as error:
        print(f"{prog}: stopped: {error}", file=sys.stderr)
        sys.exit(1)
