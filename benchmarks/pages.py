"""The pages of figures, docs/figures/*.md, made of benchmarks/results/*.json: python -m benchmarks.pages

A page is a row of `benchmarks.page_contents.PAGES`: a title, an introduction and sections. A section shows every file
of one benchmark, NAME-DEVICE.json, so that results of another device get a table beside the first. `--check` writes
nothing; it names pages that are not what the results make of them, or results that are on no page, and ends with 1.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.page_contents import PAGES, Section
from benchmarks.tables import Found
from experiments.harness import workdir
from jaxdiff.atomic import atomic

MADE = "This page is made by `python -m benchmarks.pages` from `benchmarks/results`; change those, not the page."
RECORDED = "Recorded by hand from what the commands left and printed. "
PACKAGES = ("jax", "flax", "optax", "numpy")
"""Whose versions a page tells; the JSON has the rest."""


def where(found: Found) -> str:
    """Write on what it was measured, and with what.

    Example:
      >>> where({"date": "2026-11-28", "device": "1 x cpu", "cpu_cores": 2, "python": "3.11", "versions": {"jax": "1"}})
      '2026-11-28, 1 x cpu, 2 CPU cores, Python 3.11, jax 1'
    """
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if name in PACKAGES)
    return f"{found['date']}, {found['device']}, {found['cpu_cores']} CPU cores, Python {found['python']}, {versions}"


def of_section(section: Section, results: dict[str, list[Path]]) -> list[str]:
    """Write a section: its command, its text, and a table a file with where it comes from."""
    parts = [f"## {section.heading}"]
    parts += [f"    {section.command}"] if section.command else []
    parts += [section.text] if section.text else []
    for path in results.get(section.results, []):
        found = workdir.read_json(path)
        origin = RECORDED if "recorded" in found else ""
        parts += [section.table(found), f"*{origin}{where(found)}; `benchmarks/results/{path.name}`*"]
    return parts


def grouped(folder: Path) -> dict[str, list[Path]]:
    """Return the files of results by benchmark.

    Raises: ValueError naming those that are on no page.
    """
    shown = {section.results for page in PAGES.values() for section in page.sections}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.json")):
        found.setdefault(path.name.split("-")[0].removesuffix(".json"), []).append(path)
    if hidden := [path.name for name, paths in found.items() if name not in shown for path in paths]:
        raise ValueError(f"on no page of benchmarks.page_contents.PAGES: {', '.join(hidden)}")
    return found


def made(results: Path) -> dict[str, str]:
    """Make every page; return its text by the name of its file.

    Raises: ValueError naming results that are on no page.
    """
    by_name = grouped(results)
    pages = {}
    for name, page in PAGES.items():
        parts = [f"# {page.title}", MADE, page.text]
        for section in page.sections:
            parts += of_section(section, by_name)
        pages[f"{name}.md"] = "\n\n".join(parts) + "\n"
    return pages


@dataclass(frozen=True)
class Config:
    """Pages of figures."""

    check: bool = False
    """Write nothing; end with 1 where a page is stale."""
    results: Path = Path("benchmarks/results")
    """Folder of the results."""
    out: Path = Path("docs/figures")
    """Folder of the pages."""


def main(config: Config) -> None:
    """Write the pages, or check them.

    Raises: SystemExit naming stale pages, or results that are on no page.
    """
    try:
        pages = made(config.results)
    except ValueError as error:
        sys.exit(str(error))
    there = {name: (config.out / name).read_text() if (config.out / name).exists() else "" for name in pages}
    stale = [name for name, text in pages.items() if there[name] != text]
    if left := [p.name for p in sorted(config.out.glob("*.md")) if p.name not in pages and MADE in p.read_text()]:
        sys.exit(f"made from what is no more: {', '.join(left)} in {config.out}; remove them")
    if config.check and stale:
        sys.exit(f"stale in {config.out}: {', '.join(stale)}; python -m benchmarks.pages makes them anew")
    config.out.mkdir(parents=True, exist_ok=True)
    for name in () if config.check else stale:
        with atomic(config.out / name, overwrite=True) as part:
            part.write_text(pages[name])
        print(config.out / name)


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.pages"))
