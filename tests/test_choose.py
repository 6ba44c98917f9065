"""The pages on which sampler and which training method: what they quote is what the generated pages of figures say."""

import re

import pytest

from tests.support.commands import ROOT

PAGES = [ROOT / "docs" / "choose" / name for name in ("samplers.md", "training.md")]
QUOTED = {"system", "sampler", "method"}
"""First headings of tables that quote."""


def tables(text):
    """[heading -> cell of each row] of every Markdown table."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


FIGURES = [table for path in sorted((ROOT / "docs" / "figures").glob("*.md")) for table in tables(path.read_text())]


def quotes(table, figures):
    """Whether each row of a table is a row of the figures, with some of its columns."""
    return all(any(row.items() <= figure.items() for figure in figures) for row in table)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_quoted_figures_are_those_of_the_pages_of_figures(page):
    quoting = [table for table in tables(page.read_text()) if next(iter(table[0])) in QUOTED]
    assert len(quoting) >= 2
    for table in quoting:
        assert any(quotes(table, figures) for figures in FIGURES), f"{page.name}: stale, or of no page: {table}"


def test_a_wrong_figure_is_no_quotation():
    figures = tables("| a | b |\n|---|---|\n| x | 1 |\n| y | 2 |\n")[0]
    assert quotes([{"a": "y"}, {"a": "x", "b": "1"}], figures)
    assert not quotes([{"a": "x", "b": "2"}], figures)
