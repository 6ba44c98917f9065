"""The pages of figures say what the results say: a stale page fails, a result without a page does, too."""

import inspect
import json
import re
import shutil

import pytest

import experiments
from benchmarks import pages
from jaxdiff import samplers
from tests.support.commands import ROOT

RESULTS, FIGURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "figures"


@pytest.fixture
def copy(tmp_path):
    """Results that a test may change."""
    return shutil.copytree(RESULTS, tmp_path / "results")


def change(path, figure, value):
    found = json.loads(path.read_text())
    assert figure in found
    path.write_text(json.dumps({**found, figure: value}))


def test_no_page_is_stale():
    pages.main(pages.Config(check=True, results=RESULTS, out=FIGURES))


def test_a_changed_figure_makes_its_page_stale_and_no_other(copy):
    change(copy / "sampler-cpu-2-cores.json", "steps_over_evaluations", 1.234)
    with pytest.raises(SystemExit, match=r"^stale in .*figures: speed\.md;"):
        pages.main(pages.Config(check=True, results=copy, out=FIGURES))
    assert "| 1.234 |" in pages.made(copy)["speed.md"]


def test_check_writes_nothing_and_the_command_writes_what_it_asks_for(copy, tmp_path):
    asked = pages.Config(check=True, results=copy, out=tmp_path / "figures")
    with pytest.raises(SystemExit, match=r"experiments\.md, trilemma\.md"):
        pages.main(asked)
    assert not asked.out.exists()
    pages.main(pages.Config(results=copy, out=asked.out))
    pages.main(asked)


def test_every_result_is_on_a_page_with_its_date_its_device_and_its_versions():
    text = "\n".join(pages.made(RESULTS).values())
    for path in RESULTS.glob("*.json"):
        found = json.loads(path.read_text())
        assert f"{pages.where(found)}; `benchmarks/results/{path.name}`" in text
        assert {"jax", "flax"} <= set(found["versions"])


def test_a_result_without_a_page_is_named(copy):
    shutil.copy(copy / "data-cpu-2-cores.json", copy / "tea-cpu-2-cores.json")
    with pytest.raises(SystemExit, match=r"on no page .*tea-cpu-2-cores\.json"):
        pages.main(pages.Config(check=True, results=copy, out=FIGURES))


def test_another_device_gets_a_table_beside_the_first(copy):
    shutil.copy(copy / "data-cpu-2-cores.json", copy / "data-tpu-v6.json")
    change(copy / "data-tpu-v6.json", "device", "8 x TPU v6")
    made = pages.made(copy)["speed.md"]
    assert made.count("| zip of PNG |") == 2
    assert "8 x TPU v6" in made


def test_every_row_recorded_by_hand_is_on_a_page():
    text = "\n".join(pages.made(RESULTS).values())
    for row in json.loads((RESULTS / "experiments-cpu-2-cores.json").read_text())["rows"]:
        assert f"| {row['figure']} | {row['goal']} | {row['reached']} | {row['command']} | {row['date']} |" in text


def test_a_page_that_nothing_makes_any_more_is_named(copy, tmp_path):
    pages.main(pages.Config(results=copy, out=tmp_path))
    (tmp_path / "tea.md").write_text(f"# Tea\n\n{pages.MADE}\n")
    (tmp_path / "written.md").write_text("# By hand\n")
    with pytest.raises(SystemExit, match=r"no more: tea\.md in"):
        pages.main(pages.Config(check=True, results=copy, out=tmp_path))


def test_the_index_names_every_page_of_the_folder():
    index = (FIGURES / "index.md").read_text()
    for path in FIGURES.glob("*.md"):
        made = f"({path.name})" + (" (made)" if pages.MADE in path.read_text() else "")
        assert path.name == "index.md" or f"{made}: " in index


def test_the_page_of_coverage_has_a_row_for_every_sampler_and_names_every_command_and_notebook():
    text = (FIGURES / "coverage.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)\(", text, re.MULTILINE))
    public = {name: getattr(samplers, name) for name in samplers.__all__}
    makers = {name for name, f in public.items() if inspect.isfunction(f) and returned(f) is samplers.Sampler}
    assert rows == makers
    named = set(re.findall(r"`(?:python -m experiments\.)?(\w+)`", text))
    for command in experiments.EXPERIMENTS:
        family, _, data = command.rpartition("_")
        assert command in named or (data == "cifar" and f"{family}_digits" in named), command
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} <= named


def returned(function):
    """What a function says that it returns."""
    return inspect.signature(function, eval_str=True).return_annotation
