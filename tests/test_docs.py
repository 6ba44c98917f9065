"""What the documents name exists: modules and names in backticks, files, links, commands and flags; examples run."""

import importlib.util
import re

import pytest

from tests.support.commands import ROOT
from tests.support.names import PARTS, resolve
from tests.test_structure import LAYERS, ROOMS

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# CHANGELOG tells of names that are no more.
PROSE = [*DOCUMENTS, *sorted((ROOT / "notebooks").glob("*.py"))]
CODE = re.compile(r"`([^`\n]+)`")
NAME = re.compile(rf"(?<![\w./-])(?:jaxdiff|experiments|benchmarks|{'|'.join(PARTS)})(?:\.[A-Za-z_]\w*)+(?![\w/])")
FILE = re.compile(r"\.(?:py|jsonl?|npz|png|zip|md|txt)$")
PATH = re.compile(r"(?<![\w./-])(?:jaxdiff|experiments|benchmarks|tests|docs|notebooks|\.ci)/[\w./-]*")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"python -m ((?:experiments|benchmarks)[\w.]*)([^`|#\n]*)")
FLAG = re.compile(r"--([a-z][\w-]*)")
BARE = re.compile(r"^([A-Za-z_]\w+)(?:\(.*\))?$")
FOLDERS = ("jaxdiff", "experiments", "benchmarks", "tests", "notebooks")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
WORDS = {word for path in SOURCES for word in [path.stem, *re.findall(r"\w+", path.read_text())]}
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def named(text, pattern):
    """All that a pattern finds in text between backticks."""
    return [match for code in CODE.findall(text) for match in pattern.findall(code)]


@pytest.mark.parametrize("document", PROSE, ids=lambda path: path.name)
def test_names_resolve(document):
    for name in named(document.read_text(), NAME):
        if not FILE.search(name) and not name.endswith(".NAME"):
            try:
                resolve(name)
            except ImportError as error:
                raise AssertionError(f"{document.name} names `{name}`, which is not there") from error


@documents
def test_paths_and_links_exist(document):
    text = document.read_text()
    for path in named(text, PATH):
        # NAME, SYSTEM and the like stand for what the reader writes.
        assert re.search("[A-Z]{3}", path) or (ROOT / path.rstrip(".")).exists(), f"{document.name}: {path}"
    for link in LINK.findall(text):
        assert (document.parent / link).exists(), f"{document.name} links to {link}"


@documents
def test_commands_are_modules(document):
    for module, rest in COMMAND.findall(document.read_text()):
        assert module.endswith(".NAME") or importlib.util.find_spec(module), f"{document.name}: python -m {module}"
        for flag in FLAG.findall(rest):
            assert flag.replace("-", "_") in WORDS, f"{document.name}: python -m {module} --{flag}"


@documents
def test_bare_names_are_written_somewhere(document):
    """`MonitorFactory`, `sample(...)`: whose place the text leaves to the reader."""
    for name in named(document.read_text(), BARE):
        assert name in WORDS, f"{document.name} names `{name}`, which no source has"


def tree(document):
    """The folders that a document's tree names, and what stands in its section."""
    section = (ROOT / document).read_text().split("## Where things are")[1].split("\n## ")[0]
    parents, named = [], set()
    for indent, name, line in re.findall(r"^    ( *)([\w.]+)/ +(\S.*)$", section, re.MULTILINE):
        parents = [*parents[: len(indent) // 2], name]
        named.add("/".join(parents))
        assert line
    for name in named:
        assert (ROOT / name).is_dir(), f"{document}'s tree has {name}"
    return named, section


def test_the_tree_of_contributing_has_every_folder():
    """Of jaxdiff and of experiments all, of the others those that it names."""
    named, section = tree("CONTRIBUTING.md")
    for folder in ("jaxdiff", "experiments"):
        there = {path.parent for path in (ROOT / folder).rglob("*.py")}
        assert {path.relative_to(ROOT).as_posix() for path in there} == {
            name for name in named if name.split("/")[0] == folder
        }
    for path in (ROOT / "jaxdiff").glob("*.py"):
        assert f"`{path.name}`" in section, f"CONTRIBUTING does not name {path.name}"


def test_the_tree_of_readme_is_its_first_levels():
    """The folders on top, and below jaxdiff and experiments one level more."""
    whole, _ = tree("CONTRIBUTING.md")
    named, _ = tree("README.md")
    assert named == {n for n in whole if n.count("/") < (2 if n.split("/")[0] in ("jaxdiff", "experiments") else 1)}


def test_the_design_has_the_order_of_imports():
    text = (ROOT / "docs" / "understand" / "design.md").read_text()
    for name, rooms in (("jaxdiff", LAYERS), ("experiments", [{room} for room in ROOMS])):
        order = re.search(rf"^    {name}  ((?:.+\n)(?:     +.+\n)*)", text, re.MULTILINE)[1]
        assert [set(re.findall(r"\w+", layer)) for layer in order.split("->")] == rooms
