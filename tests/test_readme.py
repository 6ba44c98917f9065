"""README: one screen, whose examples run and whose figures are those of the results; test_docs reads its tree."""

import json
import re

import pytest

from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from tests.interop.test_edm import published, write
from tests.support import blocks
from tests.support.commands import ROOT
from tests.support.names import resolve

README = (ROOT / "README.md").read_text()
TRILEMMA = json.loads((ROOT / "benchmarks" / "results" / "trilemma-cpu-2-cores.json").read_text())["rows"]["digits"]
LEARNED = {"EDM": "edm-heun-18", "DDPM": "ddim-50", "Score SDEs": "ode", "Consistency models": "cd-1",
           "Denoising diffusion GANs": "ddgan-4"}  # fmt: skip


def section(heading):
    """What stands below a heading."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(heading):
    """The rows of the one table of a section, without its heading."""
    return [line.strip("| ").split(" | ") for line in section(heading).splitlines() if line.startswith("| ")][1:]


def test_it_has_at_most_120_lines_and_begins_with_a_picture_that_is_described():
    assert len(README.splitlines()) <= 120
    described, path = re.search(r"!\[([^\]]+)\]\(([^)]+)\)", README).groups()
    assert len(described.split()) >= 4
    assert (ROOT / path).stat().st_size < 1_000_000


def test_its_commands_stand_before_its_first_heading():
    commands = re.findall(r"^    (.+)$", README.split("\n## ")[0], re.MULTILINE)
    assert commands == [
        "pip install -e '.[experiments]' && python -m experiments.edm_digits",
        "pip install -e '.[test]' && pytest -n 2",
    ]


def examples():
    return [code for _, code in blocks.blocks(ROOT / "README.md")]


def test_the_example_of_the_library_runs_in_ten_lines():
    assert len(examples()[0].splitlines()) <= 10
    found = {}
    exec(compile(examples()[0], "README.md", "exec"), found)
    assert found["samples"].std() == pytest.approx(1, abs=0.4)


@pytest.mark.full
def test_the_example_of_a_published_checkpoint_runs_on_a_file_of_its_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = examples()[1]
    assert len(code.splitlines()) <= 10
    write(tmp_path, published(DhariwalUNet)).rename(tmp_path / re.search(r'load_edm\("(.*?)"\)', code)[1])
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    assert found["images"].shape == (16, 8, 8, 3)
    assert len(examples()) == 2


def test_what_was_learned_is_what_the_trilemma_measured():
    rows = table("Families")
    assert [row[0].split(":")[0].split(",")[0] for row in rows] == list(LEARNED)
    for row, record in zip(rows, map(TRILEMMA.get, LEARNED.values()), strict=True):
        assert re.match(rf"{record['frechet']:.1f} by {record['nfe']:.0f} evaluations?\b", row[-1])
    assert f"held-out digits: {TRILEMMA['real']['frechet']:.1f}" in section("Families")
    assert f"at most {TRILEMMA['ddpm-ancestral-1000']['bits_per_dim']:.3f} bits/dim" in rows[1][-1]
    assert f"{TRILEMMA['ode']['bits_per_dim']:.3f} bits/dim" in rows[2][-1]


def test_every_notebook_is_in_the_table_of_families_with_a_link_to_colab():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"](notebooks/{path.name})" in section("Families")
        assert f"colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/{path.name})" in section(
            "Families"
        )


def test_the_samplers_to_choose_from_are_there_and_those_of_the_site():
    rows = table("Choosing a sampler")
    assert len(rows) == 6
    site = (ROOT / "docs" / "choose" / "samplers.md").read_text()
    assert section("Choosing a sampler").split("\n\n")[0] in site
    for *_, take in rows:
        names = re.findall(r"`([\w.]+)\(", take)
        assert names
        for name in names:
            resolve(name if name.startswith("grids") else f"jaxdiff.samplers.{name}")
