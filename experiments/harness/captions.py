"""What is written on a picture: a heading over each column, a caption below, and what the caption says of seeds."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT, MARGIN, NARROWEST = 15, 6, 320
"""Pixels: of the letters, around them, and of a picture with a caption."""
MOST_COLUMNS = 20
"""Of a grid with a class a column."""


def class_columns(labels: np.ndarray | None) -> tuple[np.ndarray, list[str]] | None:
    """Arrange examples with one class a column, in their order from top to bottom.

    Args:
      labels: [N], or None.
    Returns: (indices [rows, classes], -1 where a column has no more; the headings); None where there are no classes,
      only one, or too many for a picture.
    Example:
      >>> order, headings = class_columns(np.array([0, 7, 0]))
      >>> order.tolist(), headings
      ([[0, 1], [2, -1]], ['0', '7'])
    """
    classes = np.unique([] if labels is None else labels)
    if not 2 <= len(classes) <= MOST_COLUMNS:
        return None
    columns = [np.flatnonzero(labels == label) for label in classes]
    rows = max(map(len, columns))
    order = np.stack([np.pad(c, (0, rows - len(c)), constant_values=-1) for c in columns], axis=1)
    return order, [str(label) for label in classes.tolist()]


def captioned(
    image: np.ndarray, caption: str = "", headings: Sequence[str] = (), rows: Sequence[str] = ()
) -> np.ndarray:
    """Write headings above a picture and names of rows left of it, evenly spaced, and a caption below.

    Args:
      image: [H, W, 3] uint8, of which no pixel changes.
    Returns: [H', W', 3] uint8, wider too where the picture is too narrow for text.
    Example:
      >>> captioned(np.zeros((8, 8, 3), np.uint8)).shape
      (8, 8, 3)
    """
    font, line = ImageFont.load_default(FONT), FONT + 5
    height, width = image.shape[:2]
    left = int(max(map(font.getlength, rows))) + 2 * MARGIN if rows else 0
    full = max(left + width, NARROWEST) if caption else left + width
    lines = wrapped(caption, font, full - 2 * MARGIN)
    above, below = (line if headings else 0), (len(lines) * line + MARGIN if lines else 0)
    canvas = Image.new("RGB", (full, above + height + below), "white")
    canvas.paste(Image.fromarray(image), (left, above))
    draw = ImageDraw.Draw(canvas)
    for i, heading in enumerate(headings):
        draw.text((left + (i + 0.5) * width / len(headings), above), heading, "black", font, anchor="md")
    for i, name in enumerate(rows):
        draw.text((left - MARGIN, above + (i + 0.5) * height / len(rows)), name, "black", font, anchor="rm")
    for i, text in enumerate(lines):
        draw.text((MARGIN, above + height + i * line + MARGIN // 2), text, "black", font)
    return np.asarray(canvas)


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Break a text between words into lines of at most `width` pixels; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def caption_of(sampler: str, examples: str, seeds: np.ndarray, labels: np.ndarray | None) -> str:
    """Say how examples were drawn, how they are arranged, and which share their noise.

    Args:
      sampler: its name and steps.
      examples: what they are called.
      seeds, labels: [N], as in samples.npz.
    Example:
      >>> caption_of("heun, 18 steps", "images", np.arange(4), None)
      'heun, 18 steps. 4 images, each of a seed of its own, 0 to 3; elsewhere the same seed starts from the same noise.'
    """
    distinct = np.unique(seeds)
    first, last = distinct[[0, -1]].tolist()
    run = f"{first} to {last}" if last > first else f"{first}"
    which = run if len(distinct) == last - first + 1 else f"{len(distinct)} of {run}"
    own = f"each of a seed of its own, {which}" if len(distinct) == len(seeds) else f"some of the same seed, {which}"
    drawn = f"{len(seeds)} {examples}, {own}" if len(seeds) > 1 else f"Seed {which}"
    return f"{sampler}. {arrangement(labels)}{drawn}; elsewhere the same seed starts from the same noise."


def arrangement(labels: np.ndarray | None) -> str:
    """Say where the classes are; nothing where there are none."""
    classes = [] if labels is None else np.unique(labels).tolist()
    if not classes:
        return ""
    if len(classes) == 1:
        return f"Class {classes[0]}. "
    return "One class a column. " if class_columns(labels) else f"Classes {classes[0]} to {classes[-1]}, in rows. "


def counted(number: int, what: str) -> str:
    """Write a number and what it counts, in the plural where it is one.

    Example:
      >>> counted(1, "step"), counted(2, "step")
      ('1 step', '2 steps')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
