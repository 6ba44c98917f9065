"""Headings and captions: they name the classes of their columns, say what shares a seed, and change no pixel."""

import numpy as np
import pytest

from experiments.harness import captions, forms


def test_each_class_has_a_column_in_the_order_of_the_seeds():
    images = np.arange(6, dtype=np.uint8).repeat(64).reshape(6, 8, 8, 1)
    picture = forms.tiles(images, labels=np.array([4, 2, 4, 4, 2, 4]))
    scale, above = 8, 20
    centres = picture[above + 5 * scale :: 9 * scale, 5 * scale :: 9 * scale, 0]
    assert centres.tolist() == [[1, 0], [4, 2], [255, 3], [255, 5]]


def test_balanced_labels_keep_the_order_row_by_row():
    order, headings = captions.class_columns(np.arange(100) % 10)
    assert order.ravel().tolist() == list(range(100))
    assert headings == [str(digit) for digit in range(10)]


@pytest.mark.parametrize("labels", [None, np.zeros(30, int), np.arange(30)])
def test_no_classes_one_class_and_too_many_have_no_columns(labels):
    assert captions.class_columns(labels) is None


@pytest.mark.parametrize("width", [10, 500])
def test_text_changes_no_pixel_of_the_picture(width):
    image = np.random.default_rng(0).integers(0, 255, (30, width, 3), np.uint8)
    assert (captions.captioned(image) == image).all()
    written = captions.captioned(image, "a caption of several words " * 5, ["0", "1"])
    assert (written[20:50, :width] == image).all()
    assert written[50:].min() == 0
    assert written[:20, :width].min() < 100


def test_long_captions_are_broken_between_words():
    font = captions.ImageFont.load_default(captions.FONT)
    lines = captions.wrapped("ten words of a caption " * 4, font, 120)
    assert " ".join(lines) == ("ten words of a caption " * 4).strip()
    assert max(map(font.getlength, lines)) <= 120


@pytest.mark.parametrize(
    ("seeds", "labels", "said"),
    [
        (np.arange(100), np.arange(100) % 10, "One class a column. 100 images, each of a seed of its own, 0 to 99;"),
        (np.arange(2), np.array([7, 7]), "Class 7. 2 images, each of a seed of its own, 0 to 1;"),
        (np.array([5, 0, 1]), None, "3 images, each of a seed of its own, 3 of 0 to 5;"),
        (np.array([3, 3]), None, "2 images, some of the same seed, 3;"),
        (np.array([3]), None, "Seed 3;"),
        (np.arange(50), np.arange(50), "Classes 0 to 49, in rows. 50 images, "),
    ],
)
def test_the_caption_says_what_shares_a_seed(seeds, labels, said):
    text = captions.caption_of("heun, 18 steps", "images", seeds, labels)
    assert text.startswith(f"heun, 18 steps. {said}")
    assert text.endswith("elsewhere the same seed starts from the same noise.")
