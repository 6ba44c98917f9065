"""Images of every kind as grey or RGB in bytes: what is transparent, what has more bits, what has a palette."""

import numpy as np

from jaxdiff.imports import needs

with needs("data", __name__):
    from PIL import Image

WHITE = (255, 255, 255)
"""The background of transparent pixels by default."""
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


def flatten(image: Image.Image, where: str, background: tuple[int, int, int] = WHITE) -> Image.Image:
    """Convert an image to Pillow's mode L where it is grey and the background too, to RGB elsewhere.

    - transparent pixels: (alpha colour + (255 - alpha) background) / 255, rounded to the nearest;
    - 16 bits a channel: the high byte, value // 256, in grey as in colour, so that every byte stands for 256 values;
    - a palette: its colours; one bit: 0 and 255; CMYK and YCbCr: RGB, as Pillow converts them.

    Colour profiles are not applied.

    Args:
      image: loaded.
      where: its name, for messages.
      background: red, green, blue.
    Raises: ValueError for pixels whose range no file says: floats, integers of 32 bits, and Lab.
    Example:
      >>> flatten(Image.new("LA", (1, 1), (0, 51)), "a.png").getpixel((0, 0))
      204
    """
    if image.mode in _DEEP or (image.mode == "I" and image.format == "PPM"):  # which Pillow scales to 16 bits
        image = _high_byte(image)
    if image.mode not in ("1", "L", "La", "LA", "P", "PA", "RGB", "RGBa", "RGBA", "RGBX", "CMYK", "YCbCr"):
        raise ValueError(f"{where} is of Pillow's mode {image.mode}, whose range no file states: convert it to 8 bits")
    grey = image.mode in ("1", "L", "La", "LA")
    if not image.has_transparency_data:
        return image if image.mode in ("L", "RGB") else image.convert("L" if grey else "RGB")
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas.convert("L") if grey and len(set(background)) == 1 else canvas


def _high_byte(image: Image.Image) -> Image.Image:
    """Of 16 bits; the one transparent value, where there is one, becomes alpha."""
    values, tags = np.asarray(image).astype(np.uint16), getattr(image, "tag_v2", {})
    values = values << (16 - tags.get(_BITS_PER_SAMPLE, (16,))[0])  # twelve, in TIFF
    values = ~values if tags.get(_PHOTOMETRIC) == 0 else values  # white is zero, in TIFF
    found = Image.fromarray((values >> 8).astype(np.uint8))
    if (key := image.info.get("transparency")) is None:
        return found
    alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
    return Image.merge("LA", (found, alpha))
