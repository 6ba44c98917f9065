"""Names beside points: none on another, on a point or outside, and the same every time."""

import itertools
import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.comparison import labels, picture
from tests.support.commands import ROOT

KEPT = json.loads((ROOT / "benchmarks" / "results" / "trilemma-cpu-2-cores.json").read_text())["rows"]


def kept(data):
    records = [record for record in KEPT[data].values() if picture.complete(record)]
    return [(record["seconds_per_1000"], picture.badness(record), record["label"]) for record in records]


def close():
    rng = np.random.default_rng(0)
    return [(x, y, f"row {i}") for i, (x, y) in enumerate(np.exp(0.5 * rng.standard_normal((14, 2))))]


@pytest.mark.parametrize("points", [kept("digits"), kept("25gaussians"), close()], ids=["digits", "points", "close"])
def test_no_name_lies_on_another_or_on_a_point(points):
    x, y, names = zip(*points, strict=True)

    def placed():
        figure = Figure(figsize=(7.5, 5.2), dpi=100)
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.scatter(x, y)
        axes.set(xscale="log", yscale="log")
        axes.margins(0.15)
        return labels.place(axes, np.array(x), np.array(y), names), axes

    boxes, axes = placed()
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    pixels = axes.transData.transform(np.stack([x, y], axis=1))
    assert not any(box.contains(*point) for box in boxes for point in pixels)
    assert all(labels.within(box, axes.get_window_extent()) for box in boxes)
    assert [box.bounds for box in boxes] == [box.bounds for box in placed()[0]]
    assert [text.get_text() for text in axes.texts] == list(names)
