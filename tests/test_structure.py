"""The layout: imports flow one way, files stay short, TensorFlow stays out, experiments stand in one table."""

import ast
import subprocess
import sys
import tomllib

import pytest

import experiments
from tests.support.commands import ROOT, python

# A part may import from its own layer's predecessors and from itself; parts of one layer do not import each other.
LAYERS = [
    {"imports", "atomic"},
    {"types"},
    {"keys"},
    {"grids", "predictions"},
    {"guidance", "process", "editing"},
    {"precond", "gaussian_mixture"},
    {"probability_flow", "timesteps"},
    {"likelihood", "samplers", "losses"},
    {"nets", "augment"},
    {"train", "data", "metrics", "interop"},
]
ONLY_BASICS = {"nets", "augment"}
BASICS = {"imports", "types", "keys"}
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
FILES = sorted((ROOT / "jaxdiff").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))

# The rooms of experiments, each importing from those before it and from itself; commands are the files on top.
ROOMS = ("harness", "systems", "evaluation", "commands", "comparison", "trilemma")


def part_of(path):
    return path.relative_to(ROOT / "jaxdiff").parts[0].removesuffix(".py")


def imported_parts(path):
    """Parts of jaxdiff that a file imports, with those under `if TYPE_CHECKING` too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("jaxdiff.")}
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "jaxdiff":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("jaxdiff."):
                found.add(node.module.split(".")[1])
            assert not node.level, f"{path}: relative imports hide the layer"
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_flow_one_way(path):
    part = part_of(path)
    if part == "__init__":
        return  # the front door, which imports nothing before it is asked (tests/test_front_door.py)
    for other in imported_parts(path) - {part}:
        assert RANK[other] < RANK[part], f"{part} may not import {other}"
        assert part not in ONLY_BASICS or other in BASICS, f"{part} may import {BASICS} only, not {other}"


def room_of(module):
    """The room of a dotted name below experiments: a folder's own name, "commands" for a file on top of it."""
    name = module.split(".")[1]
    if name == "trilemma":
        return name
    return name if name in ROOMS else "commands"


def imported_rooms(path):
    """Rooms that a file of experiments imports, with those inside functions; `experiments` itself holds the table."""
    tree, found = ast.parse(path.read_text()), set()
    modules = {entry.relative_to(ROOT / "experiments").parts[0].removesuffix(".py") for entry in EXPERIMENTS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("experiments.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "experiments":
            below = node.module != "experiments"
            found |= {node.module} if below else {f"experiments.{a.name}" for a in node.names if a.name in modules}
    return {room_of(module) for module in found}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_of_experiments_are_one_above_the_other(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts == ("experiments", "__init__"):
        assert not imported_rooms(path)
        return
    room = room_of(".".join(parts))
    assert all(ROOMS.index(other) <= ROOMS.index(room) for other in imported_rooms(path))


def test_every_command_that_trains_is_in_the_table_and_no_other():
    """A command trains where it assigns an EXPERIMENT; the name in it is that of its file."""
    found = {}
    for path in (ROOT / "experiments").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXPERIMENT":
                found[path.stem] = ast.literal_eval(node.value.args[0])
    assert set(found) == set(experiments.EXPERIMENTS)
    assert all(stem == name for stem, name in found.items())


@pytest.mark.parametrize("path", [*FILES, *EXPERIMENTS, *BENCHMARKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= 250


def test_a_clone_in_the_current_folder_does_not_hide_an_editable_install(tmp_path):
    """With package-dir setuptools makes a path of it; without, a finder, which Python asks last."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-dir"] == {"": "."}
    (tmp_path / "jaxdiff").symlink_to(ROOT)
    code = f"import sys; sys.path.append({str(ROOT)!r}); import jaxdiff; print(jaxdiff.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ROOT / "jaxdiff" / "__init__.py")


def test_nothing_imports_tensorflow_or_torch():
    """In a fresh interpreter, every module of jaxdiff and every experiment."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("jaxdiff", "experiments")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    code = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "print([name for name in ('tensorflow', 'torch') if name in sys.modules])"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
