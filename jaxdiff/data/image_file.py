"""Image files as cameras, browsers and scanners write them, opened whole, upright and within a limit.

Pillow reads them. Its switches, which are global, stay as they are; only its limit of pixels is lifted while a file
over it is decoded whose reader insists on it, as WebP's and TIFF's do.
"""

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jaxdiff.imports import needs

with needs("data", __name__):
    from PIL import Image


SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
)
"""Of image files, in small letters. What a file holds decides how it is read, not its suffix."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of what is read: each begins with a mark of its own, and none runs another program, as EPS does."""
MAX_PIXELS = 500_000_000
"""Of an image by default: 1.5 GB as RGB."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright whose EXIF tag Orientation has this value."""
_ORIENTATION = 0x0112
_LOCK = threading.Lock()
_PNG = b"\x89PNG\r\n\x1a\n"
_SAYS_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


def open_image(content: bytes, where: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open the first frame of an image file, decoded and turned as its EXIF tag Orientation says.

    Args:
      content: of the file.
      where: its name, for messages.
      max_pixels: that are decoded; more are refused before they take memory.
    Raises: ValueError when it is no whole image of `FORMATS` or larger than max_pixels.
    Example:
      >>> stream = io.BytesIO()
      >>> Image.new("L", (3, 2)).save(stream, "png")
      >>> open_image(stream.getvalue(), "a.png").size
      (3, 2)
    """
    reason = ""
    for attempt in _attempts(content):
        try:
            try:
                return _decoded(attempt, max_pixels)
            except Image.DecompressionBombError:
                with _without_limit():
                    return _decoded(attempt, max_pixels)
        except _TooLarge as error:
            raise ValueError(
                f"{where} has {error}: make it smaller, or make a set with python -m experiments.dataset --max-pixels"
            ) from None
        except Exception as error:  # a damaged file surfaces as any of many errors of Pillow's readers
            reason = str(error) or type(error).__name__
    raise ValueError(
        f"{where} is no whole image ({reason}): replace or remove it, or make a set without such files with "
        "python -m experiments.dataset --skip-broken"
    )


class _TooLarge(Exception):
    """Says how many pixels there are and how many there may be."""


def _decoded(content: bytes, max_pixels: int) -> Image.Image:
    image = _identified(content)
    if (pixels := image.width * image.height) > max_pixels:
        raise _TooLarge(f"{pixels:,} pixels, more than {max_pixels:,}")
    image.load()
    return _upright(_as_png_means(image, content) if image.format == "PNG" else image)


def _attempts(content: bytes) -> Iterator[bytes]:
    """The file, and a PNG without text and colour profile, whose size Pillow limits and which no pixel needs."""
    yield content
    if not content.startswith(_PNG):
        return
    kept, start, place = [], 0, len(_PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            kept.append(content[start:place])
            start = end
        place = end
    if kept:
        yield b"".join([*kept, content[start:]])


def _identified(content: bytes) -> Image.Image:
    """The image whose pixels are still to be decoded, without the limit of `Image.open`, which is global."""
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]  # not all, where Pillow was built without them
    reasons = []
    for name in known:
        opened, accepts = Image.OPEN[name]
        accepted = accepts is None or accepts(content[:16])
        if accepted is True:
            return opened(io.BytesIO(content), "")
        if accepted:
            reasons.append(str(accepted))
    raise ValueError("; ".join(reasons) or f"not one of {', '.join(known)}")


@contextmanager
def _without_limit() -> Iterator[None]:
    """Pillow's limit lifted, and put back."""
    with _LOCK:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _as_png_means(image: Image.Image, content: bytes) -> Image.Image:
    """Where Pillow forgets what the file says: grey with alpha in 16 bits, and transparent colours' own scale."""
    depth, colour = content[24], content[25]
    if colour == 4 and image.mode == "RGBA":
        return image.convert("LA")
    key = image.info.get("transparency")
    if colour == 0 and depth < 8 and key is not None:
        image = image.convert("L") if image.mode == "1" else image
        image.info["transparency"] = key * 255 // (2**depth - 1)
    if colour == 2 and depth == 16 and key is not None:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The image as it was held."""
    if not any(name in image.info for name in _SAYS_ORIENTATION):
        return image
    try:
        how = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are whole where what is said of them is not
        return image
    return image if how is None else image.transpose(how)
