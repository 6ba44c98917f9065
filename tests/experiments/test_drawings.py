"""The gallery's functions that draw from a trained run."""

import numpy as np
import pytest

from benchmarks.gallery import digits
from jaxdiff.data import digits as data


def test_one_held_out_digit_of_each_class():
    half = data.load("heldout")
    for label, image in enumerate(np.asarray(digits.one_of_each())):
        (same,) = np.nonzero((half.images == image).all((1, 2, 3)))
        assert label in half.labels[same]


@pytest.mark.parametrize(
    "draw",
    [digits.inpainting, digits.super_resolution, digits.interpolation, digits.few_evaluations],
    ids=lambda draw: draw.__name__,
)
@pytest.mark.full
def test_a_run_is_drawn(draw, smoke_run):
    check(draw(smoke_run[0].parent))


@pytest.mark.full
def test_few_steps_are_drawn(smoke_run, tmp_path):
    for name in ("edm_digits", "consistency_digits"):
        (tmp_path / name).symlink_to(smoke_run[0])
    check(digits.few_steps(tmp_path))


def check(picture):
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.std() > 10
