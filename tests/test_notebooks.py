"""Every notebook is a pair, stripped of outputs, and runs."""

import json
import runpy

import jax
import jupytext
import matplotlib.pyplot as plt
import pytest

from tests.support import tiny
from tests.support.commands import ROOT

SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
notebooks = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


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
    [pytest.param(path, marks=() if path.stem == "ddgan" else pytest.mark.full, id=path.stem) for path in SCRIPTS],
)
def test_runs(path, trained, monkeypatch):
    """The one whose networks compile fastest in the default tier."""
    run(path, trained, monkeypatch)
