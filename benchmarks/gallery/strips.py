"""Pictures of several rows of images, each row with its name."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.harness.captions import captioned
from experiments.harness.forms import to_uint8
from experiments.harness.image_grid import image_grid


def strips(rows: dict[str, np.ndarray], headings: Sequence[str] = (), caption: str = "", scale: int = 7) -> np.ndarray:
    """Put rows of images below each other.

    Args:
      rows: name -> images [N, H, W, C] in [-1, 1], as many in each.
      headings: over columns of equal width; caption: below; scale: of a pixel.
    Returns: [H', W', 3] uint8.
    """
    images = np.concatenate([to_uint8(np.asarray(row)) for row in rows.values()])
    grid = image_grid(images, columns=len(images) // len(rows), scale=scale)
    return captioned(grid, caption, headings, list(rows))


def rendered(figure: Figure) -> np.ndarray:
    """Return a figure's pixels, [H, W, 3] uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
