"""Every notebook is a pair, stripped of outputs, and runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[1]
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


@pytest.mark.full
@notebooks
def test_runs(path, tmp_path):
    environment = {**os.environ, "JAXDIFF_FAST": "1", "JAXDIFF_RUNS": str(tmp_path), "MPLBACKEND": "Agg"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
