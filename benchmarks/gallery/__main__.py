"""The gallery's pictures and its page: python -m benchmarks.gallery [--only NAME ...]

trains what a picture needs and runs/ does not have yet, writes the pictures into docs/img, and docs/gallery.md.
Start it in the root of the repository.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.gallery import page
from benchmarks.gallery.item import PICTURES, RUNS, call
from benchmarks.gallery.items import ITEMS
from benchmarks.gallery.items import RUNS as TRAINED_BY

LARGEST = {".png": 300_000, ".gif": 1_000_000}
"""Bytes of a picture."""


@dataclass(frozen=True)
class Config:
    """The gallery."""

    only: tuple[str, ...] = ()
    """Pictures to make, by their names; all where none is given."""


def main(config: Config) -> None:
    """Train what is missing, draw, write the page.

    Raises: SystemExit for a picture that there is not, another folder, a command that failed, or too large a picture.
    """
    named = {item.name: item for item in ITEMS}
    if unknown := [name for name in config.only if name not in named]:
        sys.exit(f"--only has unknown pictures {', '.join(unknown)}; known are {', '.join(named)}")
    if not PICTURES.is_dir():
        sys.exit(f"{PICTURES} is no folder here: start this in the root of the repository")
    for item in (named[name] for name in config.only or named):
        for run in item.runs:
            if not (RUNS / run / "report.json").exists():
                call(TRAINED_BY[run])
        item.make()
        size = (PICTURES / item.picture).stat().st_size
        if size > LARGEST[Path(item.picture).suffix]:
            sys.exit(f"{PICTURES / item.picture} has {size:,} bytes, more than {LARGEST[Path(item.picture).suffix]:,}")
        print(f"{PICTURES / item.picture}: {size:,} bytes")
    Path("docs/gallery.md").write_text(page.text())
    print("docs/gallery.md")


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.gallery"))
