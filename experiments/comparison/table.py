"""The trilemma's table as text and as Markdown, what follows from it, and its picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
    """Write the table for a README.

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


def picture(path: Path, tables: dict[str, list[Record]]) -> None:
    """Plot quality against time, coloured by coverage: Xiao et al. 2022, Figure 1 and Figure 4, in numbers.

    Args:
      tables: the records by data set; those without a time or a distance are left out.
    """
    panels = {data: records for data, records in tables.items() if any(map(complete, records))}
    figure = Figure(figsize=(7.5 * max(len(panels), 1), 6.5), layout="constrained")
    for axes, (data, records) in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels.items()):  # noqa: B905
        panel(axes, data, records)
    figure.savefig(path, dpi=120)


def panel(axes: Axes, data: str, records: list[Record]) -> None:
    """Plot one data set. Rows lie close to each other: each has a number, by time, and the names are listed below."""
    shown = sorted(filter(complete, records), key=lambda record: record["seconds_per_1000"])
    x, y = np.array([[record["seconds_per_1000"], badness(record)] for record in shown]).T
    recall = [record["recall"] for record in shown]
    colours = Normalize(min(recall), max(recall))
    axes.scatter(x, y, c=recall, s=90, cmap="viridis", norm=colours, edgecolors="k", lw=0.5, zorder=2)
    for i in range(len(shown)):
        side = -1 if i % 2 else 1
        axes.annotate(
            str(i + 1), (x[i], y[i]), (7 * side, 5 * side), textcoords="offset points", ha="center", va="center"
        )
    names = [Line2D([], [], ls="", label=f"{i}  {record['label']}") for i, record in enumerate(shown, 1)]
    axes.legend(handles=names, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, handlelength=0, frameon=False)
    for record in records:
        if "seconds_per_1000" not in record and "frechet" in record:
            axes.axhline(badness(record), color="grey", ls=":", lw=1, zorder=1)
            place = 0.01, badness(record)
            axes.annotate(record["label"], place, (0, 2), ("axes fraction", "data"), "offset points", fontsize=8)
    label = "share of samples far from every mode" if "high_quality" in shown[0] else "Frechet distance"
    axes.set(xscale="log", yscale="log", xlabel="seconds per 1,000 samples", ylabel=label, title=data)
    axes.margins(0.12)
    axes.figure.colorbar(ScalarMappable(colours, "viridis"), ax=axes, label="recall")


def complete(record: Record) -> bool:
    """Return whether a row has a place in the picture."""
    return "frechet" in record and "seconds_per_1000" in record


def badness(record: Record) -> float:
    """Return the share of bad samples where modes can be counted, as moments of points say little; low is good."""
    return max(1 - record["high_quality"], 1e-4) if "high_quality" in record else record["frechet"]
