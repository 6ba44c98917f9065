"""Two forms of examples, images and points: how they are stored in samples.npz and shown as a picture."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.harness.image_grid import image_grid


class Form(NamedTuple):
    """One kind of example.

    names: of the array in samples.npz, ours first, then those that other libraries write
    dtype, axes: of the stored array
    encode(x) -> what is stored of the sampler's floats
    picture(examples, columns=10) -> uint8 [H, W, 3] of stored examples; shown: so many are worth showing
    """

    names: tuple[str, ...]
    dtype: type
    axes: str
    encode: Callable[[np.ndarray], np.ndarray]
    picture: Callable[..., np.ndarray]
    shown: int

    @property
    def layout(self) -> str:
        """Its type and axes, as messages have them."""
        return f"{np.dtype(self.dtype)} [{self.axes}]"

    def fits(self, array: np.ndarray) -> bool:
        """Whether an array is one of such examples."""
        return array.dtype == self.dtype and array.ndim == self.axes.count(",") + 1


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Convert [-1, 1] to 0 .. 255, rounded down after adding a half, as EDM's own tools do; bytes are left as they are.

    Example:
      >>> to_uint8(np.array([-1.0, 0.0, 1.0])).tolist(), to_uint8(np.array([7], np.uint8)).tolist()
      ([0, 128, 255], [7])
    """
    return x if x.dtype == np.uint8 else np.clip(x * 127.5 + 128, 0, 255).astype(np.uint8)


def tiles(images: np.ndarray, columns: int = 10) -> np.ndarray:
    """Tile uint8 images [N, H, W, C], enlarged by a whole number to about 48 pixels."""
    return image_grid(images, columns, scale=max(1, 48 // images.shape[2]))


def scatter(points: np.ndarray, columns: int = 1, means: np.ndarray | None = None, title: str = "") -> np.ndarray:
    """Plot points [N, 2] over the means [K, 2] of their data where those are given.

    Args:
      columns: of a grid of images, unused.
    """
    figure = Figure(figsize=(5, 5), dpi=120, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    if means is not None:
        axes.plot(*means.T, "+", color="tab:red", ms=10, mew=1)
        reach = 1.375 * float(np.abs(means).max())
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.plot(*points.T, ".", color="k", ms=1.5, alpha=0.5)
    axes.set(title=title, aspect="equal")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


IMAGES = Form(("images", "arr_0", "samples"), np.uint8, "N, H, W, C", to_uint8, tiles, 100)
"""Images in [-1, 1]; ADM's tools and np.savez(path, images, labels) call them arr_0, score SDE's samples."""
POINTS = Form(("points",), np.float32, "N, 2", partial(np.asarray, dtype=np.float32), scatter, 4_000)
"""Points [2]."""
