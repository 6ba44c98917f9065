"""Two forms of examples, images and points: how they are stored in samples.npz and shown as a picture."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from experiments.harness.captions import caption_of, captioned, class_columns
from experiments.harness.image_grid import image_grid


class Form(NamedTuple):
    """One kind of example.

    names: of the array in samples.npz, ours first, then those that other libraries write
    dtype, axes: of the stored array
    encode(x) -> what is stored of the sampler's floats
    picture(examples, columns=10, labels=None, caption="") -> uint8 [H, W, 3] of stored examples; shown: so many are
    worth showing
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


def sheet(
    form: Form, examples: np.ndarray, seeds: np.ndarray, labels: np.ndarray | None, about: str, columns: int = 10
) -> np.ndarray:
    """Picture the first examples of some seeds, and say what they are.

    Args:
      examples: [n, ...], as stored; seeds, labels: [N], of them and perhaps of more.
      about: how they were drawn; columns: of images without classes.
    """
    num = len(examples)
    labels = None if labels is None else labels[:num]
    return form.picture(examples, columns, labels, caption_of(about, form.names[0], seeds[:num], labels))


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Convert [-1, 1] to 0 .. 255, rounded down after adding a half, as EDM's own tools do; bytes are left as they are.

    Example:
      >>> to_uint8(np.array([-1.0, 0.0, 1.0])).tolist(), to_uint8(np.array([7], np.uint8)).tolist()
      ([0, 128, 255], [7])
    """
    return x if x.dtype == np.uint8 else np.clip(x * 127.5 + 128, 0, 255).astype(np.uint8)


def tiles(images: np.ndarray, columns: int = 10, labels: np.ndarray | None = None, caption: str = "") -> np.ndarray:
    """Tile uint8 images [N, H, W, C], enlarged by a whole number to about 64 pixels.

    Args:
      columns: of images without classes; else each class has a column and its heading.
      labels: [N], or None.
      caption: text below.
    """
    scale, by_class = max(1, 64 // images.shape[2]), class_columns(labels)
    if by_class is None:
        return captioned(image_grid(images, columns, scale), caption)
    order, headings = by_class
    white = np.full_like(images[:1], 255)
    grid = image_grid(np.concatenate([images, white])[order.ravel()], len(headings), scale)
    return captioned(grid, caption, headings)


def scatter(
    points: np.ndarray,
    columns: int = 1,
    labels: np.ndarray | None = None,
    caption: str = "",
    means: np.ndarray | None = None,
) -> np.ndarray:
    """Plot points [N, 2] over the means [K, 2] of their data where those are given.

    Args:
      columns, labels: of a grid of images, unused.
      caption: text below.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=120, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    if means is not None:
        axes.plot(*means.T, "+", color="tab:red", ms=10, mew=1)
        reach = 1.375 * float(np.abs(means).max())
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.plot(*points.T, ".", color="k", ms=1.5, alpha=0.5)
    axes.set(aspect="equal")
    canvas.draw()
    return captioned(np.asarray(canvas.buffer_rgba())[..., :3].copy(), caption)


IMAGES = Form(("images", "arr_0", "samples"), np.uint8, "N, H, W, C", to_uint8, tiles, 100)
"""Images in [-1, 1]; ADM's tools and np.savez(path, images, labels) call them arr_0, score SDE's samples."""
POINTS = Form(("points",), np.float32, "N, 2", partial(np.asarray, dtype=np.float32), scatter, 4_000)
"""Points [2]."""
