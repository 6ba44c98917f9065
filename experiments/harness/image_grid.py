"""Grids of images, tiled and written as PNG."""

from pathlib import Path

import numpy as np
from PIL import Image

from jaxdiff.atomic import atomic


def image_grid(images: np.ndarray, columns: int, scale: int = 1, gap: int = 1) -> np.ndarray:
    """Tile uint8 images [N, H, W, C], C = 1 or 3, row by row on white.

    Args:
      columns: images a row; the last row may be shorter.
      scale: every pixel becomes a square of this size.
      gap: pixels of white between images, before scaling.
    Returns: [H', W', 3] uint8.
    Example:
      >>> image_grid(np.zeros((3, 8, 8, 1), np.uint8), columns=2).shape
      (19, 19, 3)
    """
    num, height, width, channels = images.shape
    rows = -(-num // columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, image in enumerate(np.broadcast_to(images, (num, height, width, 3)) if channels == 1 else images):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas.repeat(scale, axis=0).repeat(scale, axis=1)


def save_png(path: Path, image: np.ndarray) -> None:
    """Write [H, W, 3] uint8, whole or not at all."""
    with atomic(path, overwrite=True) as part:
        Image.fromarray(image).save(part, format="png", optimize=True)
