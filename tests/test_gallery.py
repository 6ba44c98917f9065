"""The gallery: pictures are there and small, commands parse, the page is that of the table, functions draw."""

import importlib
import shlex

import numpy as np
import pytest
from PIL import Image

from benchmarks.gallery import __main__ as gallery
from benchmarks.gallery import kept, mixture, page
from benchmarks.gallery.items import ITEMS, RUNS
from experiments.harness import cli
from tests.support.commands import ROOT

COMMANDS = sorted({*RUNS.values(), *(command for item in ITEMS for command in item.commands)})
items = pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)


@items
def test_every_picture_is_there_and_small(item):
    path = ROOT / "docs" / "img" / item.picture
    assert path.stat().st_size <= gallery.LARGEST[path.suffix]
    with Image.open(path) as found:
        assert 300 <= found.width <= 850


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command):
    python, flag, module, *flags = shlex.split(command)
    assert (python, flag) == ("python", "-m")
    assert cli.parse(importlib.import_module(module).Config, flags, prog=module)


def test_names_are_unique_and_runs_are_known():
    assert len({item.name for item in ITEMS}) == len(ITEMS) == len({item.picture for item in ITEMS})
    assert {run for item in ITEMS for run in item.runs} == set(RUNS)


def test_the_page_is_that_of_the_table():
    assert (ROOT / "docs" / "gallery.md").read_text() == page.text(), "python -m benchmarks.gallery --only guided"


@pytest.mark.parametrize("draw", [mixture.guided, mixture.paths, kept.trilemma], ids=lambda draw: draw.__name__)
@pytest.mark.full
def test_functions_without_a_run_draw(draw, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    picture = draw(tmp_path)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.std() > 10


def test_unknown_pictures_and_other_folders_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="unknown pictures nothing; known are edm_digits, noise_to_digits"):
        gallery.main(gallery.Config(only=("nothing",)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="root of the repository"):
        gallery.main(gallery.Config())


def test_a_missing_run_is_trained_by_its_command(tmp_path, monkeypatch):
    (tmp_path / "docs" / "img").mkdir(parents=True)
    (tmp_path / "runs" / "edm_digits").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    said = []

    def call(command):
        said.append(command)
        (tmp_path / "runs" / "edm_digits" / "samples.png").write_bytes(b"picture")

    monkeypatch.setattr(gallery, "call", call)
    gallery.main(gallery.Config(only=("edm_digits",)))
    assert said == [RUNS["edm_digits"]]
    assert (tmp_path / "docs" / "img" / "edm_digits.png").read_bytes() == b"picture"
    assert (tmp_path / "docs" / "gallery.md").read_text() == page.text()
