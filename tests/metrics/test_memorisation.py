"""Copies are found, unseen images are not."""

import numpy as np
import pytest

from jaxdiff.metrics.memorisation import memorisation, nearest_distance


def draws(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("width", [2, 40])  # the search takes a tree for few dimensions and products for many
def test_nearest_distance_equals_the_least_of_all(width):
    points, train = draws(0, 30, width), draws(1, 50, width)
    least = np.linalg.norm(points[:, None] - train[None], axis=-1).min(axis=1)
    np.testing.assert_allclose(nearest_distance(points, train), least, rtol=1e-12)


def test_a_copy_is_at_distance_zero_far_from_the_origin_too():
    train = draws(2, 50, 40) + 1e4
    np.testing.assert_array_equal(nearest_distance(train[::3], train), np.zeros(17))


def test_copies_and_unseen_images():
    train, unseen, more = draws(3, 400, 8), draws(4, 1000, 8), draws(5, 1000, 8)
    copies = memorisation(train, train, unseen)
    assert (copies.median_distance, copies.share_near_copies) == (0.0, 1.0)
    honest = memorisation(more, train, unseen)
    assert honest.heldout_median_distance == copies.heldout_median_distance
    assert honest.median_distance == pytest.approx(honest.heldout_median_distance, rel=0.05)
    # 10 of 1000 expected for each set: both counts vary by 3, the difference by 4.5.
    assert honest.share_near_copies == pytest.approx(0.01, abs=0.0135)


def test_the_floor_is_one_percent():
    train, unseen = draws(6, 200, 8), draws(7, 1000, 8)
    floor = memorisation(unseen, train, unseen)
    assert floor.share_near_copies == 0.01
    assert floor.median_distance == floor.heldout_median_distance


def test_a_share_of_copies_is_counted():
    train, unseen = draws(8, 200, 8), draws(9, 500, 8)
    far = draws(10, 300, 8) + 50
    assert memorisation(np.concatenate([train[:100], far]), train, unseen).share_near_copies == 0.25


def test_few_repeats_among_the_unseen_do_not_hide_copies():
    """The 1 % quantile is then 0, and copies are not below it."""
    train, unseen = draws(11, 200, 8), draws(12, 200, 8)
    assert memorisation(train, train, np.concatenate([unseen, train[:10]])).share_near_copies == 1


def test_heldout_images_must_be_unseen():
    train = draws(13, 20, 3)
    with pytest.raises(ValueError, match="heldout must be unseen"):
        memorisation(draws(14, 20, 3), train, train)


def test_bad_features():
    with pytest.raises(ValueError, match="'points': 2, 'train': 3"):
        nearest_distance(draws(0, 9, 2), draws(1, 9, 3))
    with pytest.raises(ValueError, match="points must be finite"):
        nearest_distance([[np.inf]], [[1.0]])
