"""One picture of the gallery, and the two ways to make one: by commands, or by a function here."""

import inspect
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.harness.image_grid import save_png

RUNS, PICTURES = Path("runs"), Path("docs/img")


class Item(NamedTuple):
    """name: of `--only`; title, about: on the page; runs: that must be trained; picture: its file in docs/img.

    make() writes the picture; commands: what it runs, empty where a function draws; code: that function's source.
    """

    name: str
    title: str
    about: str
    runs: tuple[str, ...]
    picture: str
    make: Callable[[], None]
    commands: tuple[str, ...] = ()
    code: str = ""


def by_command(
    name: str, title: str, about: str, runs: tuple[str, ...] = (), command: str = "", picture: str = "", left: str = ""
) -> Item:
    """Make a picture by one command, which writes it, or leaves it at `left`; without one, the run has left it."""
    picture = picture or f"{name}.png"

    def make() -> None:
        if command:
            call(command)
        if left:
            shutil.copyfile(left, PICTURES / picture)

    return Item(name, title, about, runs, picture, make, (command,) if command else ())


def by_code(title: str, about: str, draw: Callable[[Path], np.ndarray], runs: tuple[str, ...] = ()) -> Item:
    """Make a picture by a function of the folder of runs, whose name is the item's."""
    name = draw.__name__
    make = lambda: save_png(PICTURES / f"{name}.png", draw(RUNS))  # noqa: E731
    return Item(name, title, about, runs, f"{name}.png", make, code=inspect.getsource(draw))


def call(command: str) -> None:
    """Run `python -m ...` by this Python.

    Raises: SystemExit naming the command that failed.
    """
    print(f"\n== {command}", flush=True)
    if subprocess.run([sys.executable, *shlex.split(command)[1:]], check=False).returncode:
        sys.exit(f"{command} failed; what is made already is kept")
