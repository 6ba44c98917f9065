"""Every block of Python in the documentation runs: a page's blocks in order, in an empty folder, as a reader has it."""

import jax
import matplotlib.pyplot as plt
import pytest

from tests.support.blocks import QUOTE, blocks, run
from tests.support.commands import ROOT

DOCUMENTS = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
PAGES = [page for page in DOCUMENTS if blocks(page)]
SLOW = ("do/editing.md", "do/likelihoods.md", "do/own_loop.md", "start/own_network.md")
"""Pages that compile more than the default tier has time for."""


def tier(page):
    name = page.relative_to(ROOT / "docs").as_posix()
    return pytest.param(page, id=name, marks=pytest.mark.full if name in SLOW else ())


@pytest.mark.parametrize("page", map(tier, PAGES))
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_rank_promotion("allow"), jax.default_matmul_precision("default"):
        run(page)
    plt.close("all")


def test_slow_pages_exist():
    assert set(SLOW) <= {page.relative_to(ROOT / "docs").as_posix() for page in PAGES}


@pytest.mark.parametrize("page", [page for page in DOCUMENTS if QUOTE.search(page.read_text())], ids=lambda p: p.name)
def test_what_is_shown_and_not_run_stands_in_a_file(page):
    folders = ("jaxdiff", "experiments", "benchmarks")
    sources = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    for code in QUOTE.findall(page.read_text()):
        for definition in code.strip().split("\n\n\n"):
            assert any(definition in source for source in sources), definition


def test_a_block_is_left_out_only_with_a_reason(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\na = 1\n```\n<!-- not run: needs a TPU -->\n```python\na = 2\n```\n")
    assert run(page)["a"] == 1
    page.write_text("<!-- not run:  -->\n```python\na = 2\n```\n")
    assert run(page)["a"] == 2


@pytest.mark.parametrize("fence", ["  ```python", "~~~python", "````python", "```{code-block} python", "```py3"])
def test_a_block_that_nothing_would_run_is_refused(fence, tmp_path):
    (tmp_path / "page.md").write_text(f"{fence}\n1 / 0\n{fence[:-6]}\n")
    with pytest.raises(AssertionError, match="beginning of a line"):
        blocks(tmp_path / "page.md")


def test_an_error_names_the_line_of_the_page(tmp_path):
    (tmp_path / "page.md").write_text("# Title\n\n```python\n\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as error:
        run(tmp_path / "page.md")
    assert error.traceback[-1].lineno + 1 == 5
