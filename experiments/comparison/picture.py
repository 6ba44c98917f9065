"""The trilemma's picture: quality against time, coloured by coverage, a panel for each data set."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.comparison import labels
from experiments.comparison.table import Record

TITLES = {"digits": "Digits, 8x8", "25gaussians": "25 Gaussians"}
MARKS = {"EDM": "o", "DDPM": "s", "DDIM": "s", "PC": "^", "ODE": "^", "DDGAN": "D"}
"""Marks by the first word of a row's name; the others are consistency models."""


def draw(tables: dict[str, list[Record]]) -> Figure:
    """Plot quality against time: Xiao et al. 2022, Figure 1 and Figure 4, in numbers.

    Args:
      tables: the records by data set; those without a time or a distance are left out.
    """
    panels = {data: records for data, records in tables.items() if any(map(complete, records))}
    figure = Figure(figsize=(7.5, 5.2 * max(len(panels), 1)), dpi=100)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.1, right=1.0, top=0.965, bottom=0.05, hspace=0.2)
    for axes, (data, records) in zip(figure.subplots(max(len(panels), 1), squeeze=False)[:, 0], panels.items()):  # noqa: B905
        panel(axes, data, records)
    return figure


def panel(axes: Axes, data: str, records: list[Record]) -> None:
    """Plot one data set, every point beside its name."""
    shown = sorted(filter(complete, records), key=lambda record: record["seconds_per_1000"])
    x, y = np.array([[record["seconds_per_1000"], badness(record)] for record in shown]).T
    recall = [record["recall"] for record in shown]
    colours = Normalize(min(recall), max(recall))
    for i, record in enumerate(shown):
        mark = MARKS.get(record["label"].replace("-", " ").split()[0], "P")
        axes.scatter(x[i], y[i], c=recall[i], s=80, marker=mark, norm=colours, edgecolors="k", lw=0.5, zorder=2)
    for record in records:
        if "seconds_per_1000" not in record and "frechet" in record:
            axes.axhline(badness(record), color="grey", ls=":", lw=1, zorder=1)
            place = 0.01, badness(record)
            axes.annotate(record["label"], place, (0, 2), ("axes fraction", "data"), "offset points", fontsize=8)
    label = "share of samples far from every mode" if "high_quality" in shown[0] else "Frechet distance"
    axes.set(xscale="log", yscale="log", xlabel="seconds per 1,000 samples", ylabel=label, title=TITLES.get(data, data))
    axes.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter())
    axes.xaxis.set(major_locator=LogLocator(), major_formatter="{x:g}", minor_formatter=NullFormatter())
    axes.margins(0.12)
    axes.figure.colorbar(ScalarMappable(colours, "viridis"), ax=axes, label="recall", pad=0.02)
    labels.place(axes, x, y, [record["label"] for record in shown])


def complete(record: Record) -> bool:
    """Return whether a row has a place in the picture."""
    return "frechet" in record and "seconds_per_1000" in record


def badness(record: Record) -> float:
    """Return the share of bad samples where modes can be counted, as moments of points say little; low is good."""
    return max(1 - record["high_quality"], 1e-4) if "high_quality" in record else record["frechet"]
