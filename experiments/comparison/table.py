"""The trilemma's table as text and as Markdown, and what follows from it."""

from collections.abc import Callable
from typing import Any

Record = dict[str, Any]


def minutes(record: Record) -> str:
    """Write minutes of training, its teacher's first."""
    before = f"{record['minutes_before']:.1f} + " if record.get("minutes_before") else ""
    return f"{before}{record['minutes']:.1f}"


def plain(name: str, form: str) -> Callable[[Record], str]:
    """Return what writes a number of a record."""
    return lambda record: format(record[name], form)


def seconds(record: Record) -> str:
    """Write three digits, and no power of ten where there are more before the point."""
    taken = record["seconds_per_1000"]
    return f"{taken:,.0f}" if taken >= 100 else f"{taken:.3g}"


COLUMNS: dict[str, tuple[str, Callable[[Record], str]]] = {
    "system": ("label", lambda record: record["label"]),
    "NFE": ("nfe", plain("nfe", ".0f")),
    "s per 1,000": ("seconds_per_1000", seconds),
    "of it in the network": ("network_share", lambda record: f"{100 * record['network_share']:.0f} %"),
    "parameters": ("parameters", plain("parameters", ",")),
    "Frechet": ("frechet", plain("frechet", ".3g")),
    "SVM": ("svm_accuracy", plain("svm_accuracy", ".3f")),
    "high quality": ("high_quality", plain("high_quality", ".3f")),
    "precision": ("precision", plain("precision", ".3f")),
    "recall": ("recall", plain("recall", ".3f")),
    "modes": ("modes", plain("modes", "d")),
    "KL": ("kl", plain("kl", ".3f")),
    "bits/dim": ("bits_per_dim", lambda r: f"{'<= ' if r['bits'] == 'elbo' else ''}{r['bits_per_dim']:.3f}"),
    "training, min": ("minutes", minutes),
}
"""Heading, the number without which a cell stays empty, and how it is written."""


def cells(records: list[Record]) -> list[list[str]]:
    """Return the table, its headings first, without columns in which there is nothing."""
    used = {head: column for head, column in COLUMNS.items() if any(column[0] in record for record in records)}
    body = [[write(record) if name in record else "" for name, write in used.values()] for record in records]
    return [list(used), *body]


def text(records: list[Record]) -> str:
    """Write the table for a terminal.

    Example:
      >>> print(text([{"label": "EDM", "nfe": 35}, {"label": "DDGAN"}]))
      system  NFE
      EDM      35
      DDGAN
    """
    table = cells(records)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown(records: list[Record]) -> str:
    """Write the table in Markdown.

    Example:
      >>> print(markdown([{"label": "EDM", "nfe": 35}]))
      | system | NFE |
      |---|---|
      | EDM | 35 |
    """
    head, *body = ("| " + " | ".join(row) + " |" for row in cells(records))
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *body])


def ratios(records: dict[str, Record]) -> dict[str, float]:
    """Compare speed and quality: DDGAN at T = 4 against PC sampling, and against EDM at four."""
    found: dict[str, float] = {}
    ours = records.get("ddgan-4", {})
    for name, other, number, invert in (
        ("as fast as PC-2000, each on its own network", "pc-2000", "seconds_per_1000", False),
        ("as fast as PC-2000, on the same network", "pc-2000-on-ddgan", "seconds_per_1000", False),
        ("the Frechet distance of EDM at 4 evaluations", "edm-dpmpp-4", "frechet", True),
    ):
        pair = [record[number] for record in (records.get(other, {}), ours) if number in record]
        if len(pair) == 2:
            found[name] = pair[1] / pair[0] if invert else pair[0] / pair[1]
    return found
