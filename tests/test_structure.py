"""The layout of DESIGN section 3: imports flow one way, files stay short, TensorFlow stays out."""

import ast
import subprocess
import sys
import tomllib

import pytest

from tests.support.commands import ROOT, python

# A part may import from its own layer's predecessors and from itself; parts of one layer do not import each other.
LAYERS = [
    {"types"},
    {"keys"},
    {"grids", "schedules", "predictions", "latents", "known"},
    {"precond", "guidance", "toy", "betas", "reverse", "sde", "editing"},
    {"boundary", "chain", "continuous", "respacing"},
    {"samplers", "losses"},
    {"flow"},
    {"nets", "augment"},
    {"train", "data", "metrics", "interop"},
]
ONLY_TYPES = {"nets", "augment"}
WORDS = {"types", "keys"}
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
# nets are what interop fills with published parameters.
FILES = sorted(path for path in (ROOT / "jaxdiff").rglob("*.py"))


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
        assert not imported_parts(path)
        return
    for other in imported_parts(path) - {part}:
        assert RANK[other] < RANK[part], f"{part} may not import {other}"
        assert part not in ONLY_TYPES or other in WORDS, f"{part} may import {WORDS} only, not {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
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
