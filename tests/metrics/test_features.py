"""What every metric takes, and what it refuses by name."""

import numpy as np
import pytest

from jaxdiff.metrics.features import as_rows, check_same_width


def test_images_become_float64_rows():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    features = as_rows("images", images)
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features, images.reshape(2, 12))


@pytest.mark.parametrize(
    ("values", "least", "message"),
    [
        ([[1.0, 2.0], [3.0]], 1, "images must be numbers of one size"),
        ([["a"]], 1, "images must be numbers"),
        ([1.0, 2.0], 1, r"images must be \[N, d\].*shape \[2\]"),
        (3.0, 1, r"images must be \[N, d\].*shape \[\]"),
        (np.zeros((0, 4)), 1, r"not empty, got shape \[0, 4\]"),
        (np.zeros((4, 0)), 1, r"not empty, got shape \[4, 0\]"),
        (np.zeros((1, 4)), 2, "images must hold at least 2, got 1"),
        ([[1.0], [np.nan], [np.inf]], 1, "images must be finite, but 2 of 3 are not, the first is number 1"),
    ],
)
def test_bad_features_are_named(values, least, message):
    with pytest.raises(ValueError, match=message):
        as_rows("images", values, least)


def test_lengths_that_differ_are_named():
    with pytest.raises(ValueError, match="'real': 2, 'fake': 3"):
        check_same_width(real=np.zeros((5, 2)), fake=np.zeros((5, 3)))
