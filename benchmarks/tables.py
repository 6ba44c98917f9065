"""Tables in Markdown: what the pages of figures are made of.

How good samples are is in `quality_tables`, what things cost in `cost_tables`: one function a benchmark, from its JSON
to its table. A new benchmark is a function there and a section of `benchmarks.page_contents.PAGES`.
"""

from collections.abc import Callable, Iterable
from typing import Any

Found = dict[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Write a Markdown table.

    Example:
      >>> print(table(["a", "b"], [[1, "x"]]))
      | a | b |
      |---|---|
      | 1 | x |
    """
    lines = [f"| {' | '.join(map(str, row))} |" for row in [list(head), *rows]]
    return "\n".join([lines[0], "|---" * (lines[0].count(" | ") + 1) + "|", *lines[1:]])


def figures(*rows: tuple[str, str, str]) -> str:
    """Write figures with the goals that the project set itself; "-" where there was none."""
    return table(["figure", "goal", "reached"], rows)


def three(value: float) -> str:
    """Write three digits, and no power of ten where there are more before the point.

    Example:
      >>> three(23412.6), three(0.11514)
      ('23,413', '0.115')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def recorded(family: str) -> Callable[[Found], str]:
    """Return what writes the rows of one family of the records kept by hand."""

    def write(found: Found) -> str:
        rows = [row for row in found["rows"] if row["family"] == family]
        shown = ("figure", "goal", "reached", "command", "date")
        return table(shown, [[row[name] for name in shown] for row in rows])

    return write
