"""Cutting and resizing against what must come out."""

import numpy as np
import pytest
from PIL import Image

from jaxdiff.data import crop


def ramp(width, height):
    """An image whose red is its column and whose green is its row."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("size", [(9, 4), (4, 9), (5, 5)])
def test_center_crop_keeps_the_centre(size):
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    expected = np.asarray(ramp(*size))[top : top + side, left : left + side]
    np.testing.assert_array_equal(crop.center_crop(ramp(*size), side, side), expected)


def test_center_crop_keeps_proportions():
    """A disc stays a disc: its second moments along both axes agree."""
    rows, columns = np.mgrid[:120, :200]
    disc = ((rows - 59.5) ** 2 + (columns - 99.5) ** 2 < 40**2) * np.uint8(255)
    small = np.asarray(crop.center_crop(Image.fromarray(disc), 24, 24), np.float64)
    ticks = np.arange(24) - 11.5
    moments = [np.sum(small.sum(axis) * ticks**2) / small.sum() for axis in (0, 1)]
    assert moments[0] == pytest.approx(moments[1], rel=0.01)  # pixels are bytes between the two passes
    assert moments[0] == pytest.approx((40 / 120 * 24) ** 2 / 4, rel=0.02)
    wide = crop.center_crop(Image.fromarray(disc), 30, 10)
    assert wide.size == (30, 10)


def test_lanczos_keeps_the_mean_and_a_constant():
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    small = np.asarray(crop.resize(Image.fromarray(noise), 12, 16))
    assert small.shape == (16, 12, 3)
    assert small.mean() == pytest.approx(noise.mean(), abs=0.6)
    assert np.all(np.asarray(crop.resize(Image.new("L", (7, 5), 200), 3, 3)) == 200)
    np.testing.assert_array_equal(crop.resize(Image.fromarray(noise), 48, 64), noise)


def test_dhariwal_crop_of_powers_of_two_is_a_mean_of_blocks():
    """Halvings by means are exact there, and nothing is left for the bicubic filter."""
    image = np.random.default_rng(0).integers(0, 64, (32, 64)) * 4
    blocks = image.reshape(8, 4, 16, 4).mean(axis=(1, 3))[:, 4:12]
    found = np.asarray(crop.dhariwal_crop(Image.fromarray(image.astype(np.uint8)), 8), np.float64)
    assert np.abs(found - blocks).max() <= 1.5  # two roundings


@pytest.mark.parametrize("size", [(500, 375), (33, 100), (64, 64), (20, 30)])
def test_every_size_becomes_the_one_wanted(size):
    assert crop.dhariwal_crop(ramp(*size), 32).size == (32, 32)
    assert crop.center_crop(ramp(*size), 32, 24).size == (32, 24)
    with pytest.raises(ValueError, match="must be at least 1, got 0, 3"):
        crop.resize(ramp(*size), 0, 3)


@pytest.mark.parametrize("size", [(41, 30), (30, 41), (33, 33)])
def test_what_is_cut_out_is_exact_and_knows_no_limit(size, monkeypatch):
    """The pixels themselves, where nothing is made smaller; Pillow's own limit for `crop` stands at 10 here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    pixels = np.asarray(ramp(*size))
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    expected = pixels[top : top + side, left : left + side]
    np.testing.assert_array_equal(crop.center_crop(ramp(*size), side, side), expected)
    np.testing.assert_array_equal(crop.dhariwal_crop(ramp(*size), side), expected)
