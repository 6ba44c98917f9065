"""Every notebook is a pair, stripped of outputs, begins as all do, and runs.

Here it runs in a clone, with tiny networks; `.ci/notebooks` runs it from an empty folder on Colab's image.
"""

import importlib.util
import json
import runpy
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import jax
import jupytext
import matplotlib.pyplot as plt
import pytest

import experiments
from tests.support import tiny
from tests.support.commands import ROOT
from tests.support.tiers import RELEASE

SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
notebooks = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def cells(path, kind):
    """The text of a notebook's cells of one kind, code or markdown."""
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == kind]


def test_there_are_notebooks():
    assert SCRIPTS


@notebooks
def test_script_and_notebook_are_the_same(path):
    cells = lambda notebook: [(cell.cell_type, cell.source) for cell in notebook.cells]  # noqa: E731
    pair = path.with_suffix(".ipynb")
    assert cells(jupytext.read(path)) == cells(jupytext.read(pair)), f"run: jupytext --sync {path.name}"
    for cell in json.loads(pair.read_text())["cells"]:
        assert not cell.get("outputs"), "outputs are not committed"
        assert not cell.get("execution_count")


@notebooks
def test_says_how_to_open_it_and_how_long_it_takes(path):
    first = cells(path, "markdown")[0]
    assert f"https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/{path.stem}.ipynb" in first
    assert "**Time on a CPU:**" in first
    assert "**On a TPU or GPU:**" in first


def test_all_begin_with_one_bootstrap():
    assert len({cells(path, "code")[0] for path in SCRIPTS}) == 1


@pytest.mark.parametrize("package", [*experiments.PACKAGES, "experiments", "jaxdiff", "jaxtyping"])
def test_bootstrap_installs_what_experiments_import(bootstrap, package):
    assert len(bootstrap(missing=[package])) == 2


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """The first cell in an empty folder, where some modules cannot be found: the commands that it runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("JAXDIFF_SOURCE", "some/clone")
    found = importlib.util.find_spec

    def run(missing=(), returncode=0):
        commands = []

        def record(command, **options):
            commands.append([str(part) for part in command])
            return SimpleNamespace(returncode=returncode, stdout="what it said")

        with monkeypatch.context() as patched:
            patched.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found(name))
            patched.setattr(subprocess, "run", record)
            exec(cells(SCRIPTS[0], "code")[0], {})
        return commands

    return run


def test_bootstrap_fetches_the_source_and_keeps_what_is_installed(bootstrap, tmp_path):
    (git, *_, source, clone), pip = bootstrap(missing=["jaxdiff", "experiments", "tyro"])
    assert (git, source, clone) == ("git", "some/clone", str(tmp_path / "jaxdiff_source"))
    assert f"{clone}[experiments]" in pip
    for name in ("jax", "jaxlib", "flax", "numpy"):
        assert f"{name}=={metadata.version(name)}" in pip


def test_bootstrap_does_nothing_where_nothing_is_missing(bootstrap):
    assert bootstrap() == []


def test_bootstrap_in_a_clone_fetches_no_other(bootstrap, monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    (pip,) = bootstrap(missing=["tyro"])
    assert f"{ROOT}[experiments]" in pip


def test_bootstrap_says_what_failed(bootstrap):
    with pytest.raises(RuntimeError, match=r"^git clone .*some/clone.* failed:\nwhat it said$"):
        bootstrap(missing=["jaxdiff"], returncode=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where notebooks leave their runs: what one has trained, the next finds there."""
    return tmp_path_factory.mktemp("runs")


def run(path, trained, monkeypatch):
    """In this process, with the user's settings instead of the tests', and tiny networks in the experiments."""
    monkeypatch.setenv("JAXDIFF_FAST", "1")
    monkeypatch.setenv("JAXDIFF_RUNS", str(trained))
    monkeypatch.chdir(ROOT)
    plt.switch_backend("Agg")
    with tiny.networks(), jax.numpy_rank_promotion("allow"), jax.default_matmul_precision("default"):
        runpy.run_path(str(path), run_name="__main__")
    assert plt.get_fignums(), "it shows something"
    plt.close("all")


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem == "start_here" else RELEASE, id=path.stem) for path in SCRIPTS],
)
def test_runs(path, trained, monkeypatch):
    """The first that people see in the default tier."""
    run(path, trained, monkeypatch)
