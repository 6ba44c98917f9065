"""Image files of cameras, browsers and scanners: the right way up, on a background, in bytes, within a limit."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from jaxdiff.data import folder
from jaxdiff.data.flatten import flatten
from jaxdiff.data.image_file import open_image
from tests.support.image_set import encoded, pixels, write

PICTURE = pixels(1, (4, 6, 3))[0]
TURNED = {
    1: PICTURE,
    2: PICTURE[:, ::-1],
    3: PICTURE[::-1, ::-1],
    4: PICTURE[::-1],
    5: PICTURE.transpose(1, 0, 2),
    6: PICTURE.transpose(1, 0, 2)[:, ::-1],
    7: PICTURE[::-1, ::-1].transpose(1, 0, 2),
    8: PICTURE.transpose(1, 0, 2)[::-1],
}
"""How an image is looked at by EXIF's definition: which side is the 0th row and which the 0th column."""


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def png(rows, depth, colour, *chunks):
    """A PNG of filtered rows, with chunks (kind, content) before the pixels; Pillow writes not all that PNG is."""
    height, width = rows.shape[0], rows.shape[1] // {0: 1, 2: 3, 4: 2, 6: 4}[colour] // max(depth // 8, 1)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", content), (b"IEND", b"")]
    checked = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(checked)


def deep(values, colour, *chunks):
    """A PNG with 16 bits a channel of values [H, W, C]."""
    return png(values.astype(">u2").reshape(len(values), -1).view(np.uint8), 16, colour, *chunks)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [*TURNED, 0, 9])
def test_as_the_camera_was_held(orientation, form):
    exact = {"webp": {"lossless": True}, "jpeg": {"quality": 100, "subsampling": 0}}.get(form, {})
    file = encoded(
        Image.fromarray(np.repeat(np.repeat(PICTURE // 200 * 255, 16, 0), 16, 1)), form, exif=exif(orientation), **exact
    )
    found = folder.decode(file, "a")
    expected = np.repeat(np.repeat(TURNED.get(orientation, PICTURE) // 200 * 255, 16, 0), 16, 1)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (2 if form == "jpeg" else 0)


def test_orientation_said_elsewhere():
    """XMP in a PNG, ImageMagick's text, and EXIF that cannot be read."""
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    raw = exif(8).removeprefix(b"Exif\0\0")
    text = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(raw):8}\n{raw.hex()}\n".encode())
    rows = PICTURE.reshape(4, -1)
    for chunk, turned in (
        ((b"iTXt", xmp), 6),
        ((b"zTXt", text), 8),
        ((b"eXIf", b"no such thing"), 1),
        ((b"eXIf", b""), 1),
    ):
        np.testing.assert_array_equal(folder.decode(png(rows, 8, 2, chunk), "a"), TURNED[turned])


def test_photographs_of_two_orientations_have_one_shape(tmp_path):
    portrait = Image.fromarray(PICTURE.transpose(1, 0, 2))
    files = {"a.png": encoded(portrait), "b.png": encoded(Image.fromarray(PICTURE), exif=exif(6))}
    folder.check(folder.load(write(tmp_path / "set", files)))


BACKGROUNDS = pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 30)])


def composited(colours, alpha, background):
    """(a c + (255 - a) b) / 255 to the nearest, in integers; there are no ties, as 255 is odd."""
    a = alpha.astype(np.int64)[..., None]
    return ((2 * (a * colours + (255 - a) * np.array(background)) + 255) // 510).astype(np.uint8)


@BACKGROUNDS
def test_transparent_pixels_are_seen_through(background):
    """Every alpha on every eighth colour, in RGBA and in grey; palettes and transparent colours."""
    alpha, colour = np.meshgrid(np.arange(256), np.arange(0, 256, 8), indexing="ij")
    rgba = np.stack([colour, 255 - colour, colour, alpha], -1).astype(np.uint8)

    def shown(image, form="png", **options):
        return np.asarray(flatten(open_image(encoded(image, form, **options), "a"), "a", background))

    expected = composited(rgba[..., :3], rgba[..., 3], background)
    np.testing.assert_array_equal(shown(Image.fromarray(rgba)), expected)
    np.testing.assert_array_equal(shown(Image.fromarray(rgba), "webp", lossless=True, exact=True), expected)
    grey = composited(np.repeat(rgba[..., :1], 3, -1), rgba[..., 3], background)
    found = shown(Image.merge("LA", (Image.fromarray(rgba[..., 0]), Image.fromarray(rgba[..., 3]))))
    np.testing.assert_array_equal(found, grey[..., 0] if len(set(background)) == 1 else grey)
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 1, 2, 3])
    palette.putpixel((1, 0), 1)
    for form in ("png", "gif"):
        np.testing.assert_array_equal(shown(palette, form, transparency=0)[0], [background, (1, 2, 3)])
    np.testing.assert_array_equal(
        shown(palette, transparency=bytes([51, 255]))[0, 0], composited(np.array([9, 9, 9]), np.array(51), background)
    )
    coloured = Image.fromarray(np.array([[[7, 8, 9], [7, 8, 0]]], np.uint8))
    np.testing.assert_array_equal(shown(coloured, transparency=(7, 8, 9))[0], [background, (7, 8, 0)])


def test_transparent_colours_in_other_depths():
    """Of grey in 1, 2, 8 and 16 bits and of RGB in 16: the one value that PNG's tRNS names, white here."""
    for depth, row, key, expected in (
        (1, [0b10000000], 1, [255, 0]),
        (2, [0b01110000], 3, [85, 255]),
        (2, [0b01110000], 1, [255, 255]),
        (8, [7, 9], 7, [255, 9]),
    ):
        content = png(np.array([row], np.uint8), depth, 0, (b"tRNS", struct.pack(">H", key)))
        if depth < 8:
            content = (
                content[:16]
                + struct.pack(">I", 2)
                + content[20:29]
                + struct.pack(">I", zlib.crc32(content[12:16] + struct.pack(">I", 2) + content[20:29]))
                + content[33:]
            )
        assert folder.decode(content, "a")[0, :, 0].tolist() == expected
    grey = deep(np.array([[300, 301]]), 0, (b"tRNS", struct.pack(">H", 300)))
    assert folder.decode(grey, "a").tolist() == [[[255], [1]]]
    rgb = deep(np.array([[[256, 512, 768], [256, 512, 0]]]), 2, (b"tRNS", struct.pack(">HHH", 256, 512, 768)))
    assert folder.decode(rgb, "a").tolist() == [[[255, 255, 255], [1, 2, 0]]]


def test_sixteen_bits_are_their_high_byte_in_grey_as_in_colour():
    """All 65,536 values: value // 256; what was 8 bits, times 257, comes back."""
    values = np.arange(65536).reshape(256, 256)
    expected = (values // 256).astype(np.uint8)
    full = np.full_like(values, 65535)
    for content, channels in (
        (deep(values, 0), 1),
        (deep(np.stack([values, full], -1), 4), 1),
        (deep(np.stack([values] * 3, -1), 2), 3),
        (deep(np.stack([values] * 3 + [full], -1), 6), 3),
        (encoded(Image.fromarray(values.astype(np.uint16)), "tiff"), 1),
        (b"P5 256 256 65535\n" + values.astype(">u2").tobytes(), 1),
    ):
        found = folder.decode(content, "a")
        assert found.shape[-1] == channels
        np.testing.assert_array_equal(found, np.repeat(expected[..., None], channels, -1))
    tiff = encoded(Image.fromarray(values.astype(np.uint16)), "tiff")
    entry = struct.pack("<HHII", 262, 3, 1, 1)
    assert tiff.count(entry) == 1
    white_is_zero = tiff.replace(entry, struct.pack("<HHII", 262, 3, 1, 0))
    np.testing.assert_array_equal(folder.decode(white_is_zero, "a")[..., 0], 255 - expected)
    eight = deep(np.arange(256).reshape(16, 16) * 257, 0)
    np.testing.assert_array_equal(folder.decode(eight, "a")[..., 0], np.arange(256).reshape(16, 16))


def test_every_format_and_the_first_frame(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    frames = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    animated = {"save_all": True, "append_images": frames[1:]}
    files = {
        **{f"{form}.{form}": encoded(frames[0], form) for form in ("png", "bmp", "ppm", "gif")},
        "a.gif": encoded(frames[0], "gif", **animated),
        "a.tif": encoded(frames[0], "tiff", **animated),
        "a.apng": encoded(frames[0], "png", **animated),
        "a.jfif": encoded(frames[0], "jpeg", quality=100),
        "a.jp2": encoded(frames[0], "jpeg2000"),
        "wrong_suffix.jpg": encoded(frames[0], "gif"),
    }
    found = folder.load(write(tmp_path / "set", files))
    assert len(found) == len(files)
    for i in range(len(found)):
        assert np.abs(found[i]["image"][..., 0].astype(int) - grey).max() <= (2 if "jfif" in found.names[i] else 0)
    still = folder.decode(encoded(frames[0], "webp", lossless=True), "a")
    np.testing.assert_array_equal(folder.decode(encoded(frames[0], "webp", lossless=True, **animated), "a"), still)
    cmyk = folder.decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "tiff"), "a")
    assert cmyk[0, 0].tolist() == [255, 0, 0]


def test_text_and_profiles_of_any_size(monkeypatch):
    """Which Pillow limits by switches that are everybody's: they stay as they are."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 2_500_000)
    text.add_text("zipped", "x" * 2_500_000, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "y" * 2_500_000, zip=True)
    profile = np.random.default_rng(0).bytes(2_500_000)
    content = encoded(Image.fromarray(PICTURE), pnginfo=text, icc_profile=profile)
    with pytest.raises(ValueError, match="MAX_TEXT_CHUNK"):
        Image.open(io.BytesIO(content)).load()
    before = (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS)
    np.testing.assert_array_equal(folder.decode(content, "a"), PICTURE)
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS)
    with pytest.raises(ValueError, match="a is no whole image"):
        folder.decode(content[:3_000_000], "a")


def test_the_limit_of_pixels_is_ones_own(monkeypatch):
    """Pillow's stands at 100 here; neither it nor its warning counts, and the one that does refuses before decoding."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    content = encoded(Image.fromarray(pixels(1, (16, 16, 3))[0]))
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content))
    grey = Image.fromarray(pixels(1, (16, 16, 1))[0][..., 0])
    others = [encoded(grey, form) for form in ("webp", "gif", "tiff", "bmp", "ppm", "jpeg", "jpeg2000")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in (content, *others):
            assert open_image(file, "a", max_pixels=256).size == (16, 16)
            assert Image.MAX_IMAGE_PIXELS == 100
            with pytest.raises(ValueError, match="a has 256 pixels, more than 255"):
                open_image(file, "a", max_pixels=255)
    broken = content[:60]
    with pytest.raises(ValueError, match=r"a has 256 pixels, more than 255: make it smaller, .* --max-pixels"):
        open_image(broken, "a", max_pixels=255)
    huge = png(np.zeros((0, 3), np.uint8), 8, 2).replace(
        struct.pack(">II", 1, 0), struct.pack(">II", 30_000, 30_000), 1
    )
    huge = huge[:29] + struct.pack(">I", zlib.crc32(huge[12:29])) + huge[33:]
    with pytest.raises(ValueError, match="a has 900,000,000 pixels, more than 500,000,000"):
        open_image(huge, "a")


def test_no_other_program_is_started(monkeypatch):
    """EPS is Ghostscript's."""
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(ValueError, match="is no whole image"):
        open_image(encoded(Image.fromarray(PICTURE), "eps"), "a.png")
