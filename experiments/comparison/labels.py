"""Names beside points of a plot, none on another or on a point."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

REACH = (10, 20, 32, 46, 62)
"""Distances of a name from its point, in pixels, the nearest first."""
ANGLES = np.pi * np.array([0.0, 1.0, 0.25, 0.75, -0.25, -0.75, 0.5, -0.5, 0.12, 0.88, -0.12, -0.88])
"""Directions at each distance, right and left first."""
LEADER = 15
"""Pixels beyond which a line leads from the point to its name."""


def place(axes: Axes, x: np.ndarray, y: np.ndarray, names: list[str], radius: float = 7) -> list[Bbox]:
    """Write a name beside each point, in the first free place: nearest first, the same for the same points.

    Call it when the limits of the axes are final.

    Args:
      x, y: [N], of the points; radius: of their marks, in pixels.
    Returns: the boxes of the names, in pixels; where no place is free, the last one that was tried.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    points = axes.transData.transform(np.stack([x, y], axis=1))
    taken = [text.get_window_extent() for text in axes.texts]
    taken += [Bbox(np.stack([point - radius, point + radius])) for point in points]
    inside, boxes = axes.get_window_extent(), []
    for point, name in zip(points, names, strict=True):
        white = {"fc": "white", "ec": "none", "pad": 0.5}
        text = axes.text(0, 0, name, fontsize=9, transform=None, va="center", zorder=1.5, bbox=white)
        size = text.get_window_extent()
        for reach, angle in itertools.product(REACH, ANGLES):
            end = point + reach * np.array([np.cos(angle), np.sin(angle)])
            left = end[0] - size.width * (0.5 - 0.5 * np.sign(np.round(np.cos(angle), 6)))
            box = Bbox.from_bounds(left, end[1] - size.height / 2, size.width, size.height)
            if within(box, inside) and not any(box.overlaps(other) for other in taken):
                break
        text.set_position((box.x0, end[1]))
        if reach > LEADER:
            line = axes.transData.inverted().transform(np.stack([point, end]))
            axes.plot(*line.T, color="grey", lw=0.7, zorder=1)
        taken.append(box)
        boxes.append(box)
    return boxes


def within(box: Bbox, outer: Bbox) -> bool:
    """Whether a box lies inside another."""
    return outer.x0 <= box.x0 and box.x1 <= outer.x1 and outer.y0 <= box.y0 and box.y1 <= outer.y1
