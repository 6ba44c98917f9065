"""Resizing and cropping of photographs to small images."""

from jaxdiff.imports import needs

with needs("data", __name__):
    from PIL import Image


LANCZOS, BOX, BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BICUBIC


def resize(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize the whole image, by Lanczos' filter; its proportions are not kept.

    Args:
      image: of Pillow.
      width, height: of the result, >= 1.
    Raises: ValueError when one is below 1.
    Example:
      >>> resize(Image.new("L", (6, 4)), 3, 3).size
      (3, 3)
    """
    _check(width, height)
    return image.resize((width, height), LANCZOS)


def center_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """Crop the largest part around the centre that has the proportions wanted, and resize it, by Lanczos' filter.

    Args:
      image: of Pillow.
      width, height: of the result, >= 1.
    Raises: ValueError when one is below 1.
    Reference: Karras et al. 2022's dataset_tool.py, `center-crop`, which takes squares.
    Example:
      >>> center_crop(Image.new("L", (6, 4)), 2, 2).size
      (2, 2)
    """
    _check(width, height)
    scale = min(image.width / width, image.height / height)
    cut = max(round(width * scale), 1), max(round(height * scale), 1)
    return _centre(image, *cut).resize((width, height), LANCZOS)


def dhariwal_crop(image: Image.Image, size: int) -> Image.Image:
    """Crop a square around the centre as ADM does: halved by means of 2x2 pixels, then resized bicubically, then cut.

    Args:
      image: of Pillow.
      size: of the square, in pixels, >= 1.
    Raises: ValueError when it is below 1.
    Reference: Dhariwal & Nichol 2021; EDM's `center-crop-dhariwal`.
    Example:
      >>> dhariwal_crop(Image.new("L", (600, 400)), 64).size
      (64, 64)
    """
    _check(size, size)
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), BICUBIC)
    return _centre(image, size, size)


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    """What `image.crop` gives, without the limit of its size, which is global."""
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.transform((width, height), Image.Transform.EXTENT, (left, top, left + width, top + height))


def _check(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise ValueError(f"width and height must be at least 1, got {width}, {height}")
