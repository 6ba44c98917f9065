"""Statistics against numpy's, distances against closed forms."""

from functools import reduce

import numpy as np
import pytest

from jaxdiff.metrics.frechet import (
    FeatureStats,
    distance_of_features,
    distance_of_stats,
    feature_stats,
    frechet_distance,
    merge,
)


def draws(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def rotation(seed, size):
    return np.linalg.qr(draws(seed, size, size))[0]


def test_stats_are_mean_and_unbiased_covariance():
    features = draws(0, 50, 6)
    got = feature_stats(features)
    np.testing.assert_allclose(got.mean, features.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(got.cov, np.cov(features, rowvar=False), rtol=1e-12)


@pytest.mark.parametrize("cuts", [[1], [7, 8, 30], list(range(1, 50))])
def test_a_stream_equals_the_whole_in_any_batches_and_order(cuts):
    features = draws(1, 50, 6)
    parts = [feature_stats(part) for part in np.split(features, cuts)]
    for order in (parts, parts[::-1]):
        got = reduce(merge, order)
        assert got.num == 50
        np.testing.assert_allclose(got.mean, features.mean(axis=0), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(got.cov, np.cov(features, rowvar=False), rtol=1e-11, atol=1e-14)


def test_a_large_mean_does_not_cancel_the_variance():
    """A sum of squares would leave nothing: 1e9^2 has no room for 1 in float64."""
    features = np.array([-1.0, 0.0, 1.0])[:, None].repeat(2, axis=1) + 1e9
    got = reduce(merge, [feature_stats(features)] * 4)
    np.testing.assert_allclose(got.cov, np.full((2, 2), 8 / 11), rtol=1e-12)


def test_uint8_images_are_summed_in_float64():
    images = np.full((300, 2, 2, 1), 255, np.uint8)
    got = feature_stats(images)
    np.testing.assert_array_equal(got.mean, np.full(4, 255.0))
    np.testing.assert_array_equal(got.cov, np.zeros((4, 4)))


EIGENVALUES = {
    "regular": (np.linspace(1, 3, 40), np.linspace(0.2, 5, 40)),
    "wide": (np.logspace(-6, 3, 40), np.logspace(2, -7, 40)),
    "rank 5 and 30": (np.r_[np.ones(5), np.zeros(35)], np.r_[np.full(30, 2.0), np.zeros(10)]),
    "disjoint supports": (np.r_[np.full(20, 100.0), np.zeros(20)], np.r_[np.zeros(20), np.full(20, 4.0)]),
    "a point": (np.zeros(40), np.linspace(1, 2, 40)),
    "two points": (np.zeros(40), np.zeros(40)),
}


@pytest.mark.parametrize("name", EIGENVALUES)
def test_commuting_covariances_have_a_closed_form(name):
    """|m1 - m2|^2 + sum (sqrt l1 - sqrt l2)^2 where both have the same eigenvectors, singular or not."""
    values_1, values_2 = EIGENVALUES[name]
    q, mean_1, mean_2 = rotation(2, 40), draws(3, 40), draws(4, 40)
    exact = np.sum((mean_1 - mean_2) ** 2) + np.sum((np.sqrt(values_1) - np.sqrt(values_2)) ** 2)
    got = frechet_distance(mean_1, (q * values_1) @ q.T, mean_2, (q * values_2) @ q.T)
    np.testing.assert_allclose(got, exact, rtol=1e-10)


def test_lines_have_a_closed_form():
    """Rank one, not commuting: S1 = u u^T, S2 = v v^T give |u|^2 + |v|^2 - 2 |u . v|."""
    u, v = draws(5, 30), draws(6, 30)
    got = frechet_distance(np.zeros(30), np.outer(u, u), np.zeros(30), np.outer(v, v))
    np.testing.assert_allclose(got, u @ u + v @ v - 2 * abs(u @ v), rtol=1e-10)


def test_two_dimensions_have_a_closed_form():
    """tr M^(1/2) = sqrt(tr M + 2 sqrt(det M)) for 2x2."""
    s1, s2 = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[0.5, -0.3], [-0.3, 3.0]])
    root = np.sqrt(np.trace(s1 @ s2) + 2 * np.sqrt(np.linalg.det(s1) * np.linalg.det(s2)))
    got = frechet_distance([1.0, 0.0], s1, [0.0, 2.0], s2)
    np.testing.assert_allclose(got, 5 + np.trace(s1 + s2) - 2 * root, rtol=1e-12)


@pytest.mark.parametrize("count", [10, 200])  # fewer features than dimensions make the covariance singular
def test_identities(count):
    a, b = draws(7, count, 30), draws(8, count, 30) * 1.5 + 0.3
    q, shift = rotation(9, 30), draws(10, 30)
    distance = distance_of_stats(feature_stats(a), feature_stats(b))
    assert abs(distance_of_stats(feature_stats(a), feature_stats(a))) < 1e-10
    np.testing.assert_allclose(distance_of_stats(feature_stats(b), feature_stats(a)), distance, rtol=1e-9)
    np.testing.assert_allclose(
        distance_of_stats(feature_stats(a @ q + shift), feature_stats(b @ q + shift)), distance, rtol=1e-7
    )
    np.testing.assert_allclose(distance_of_stats(feature_stats(3 * a), feature_stats(3 * b)), 9 * distance, rtol=1e-9)
    np.testing.assert_allclose(distance_of_stats(feature_stats(a), feature_stats(a + shift)), shift @ shift, rtol=1e-9)


def test_too_few_or_mixed_features():
    with pytest.raises(ValueError, match="at least 2 features, got 1"):
        distance_of_stats(feature_stats([[1.0, 2.0]]), feature_stats(draws(0, 5, 2)))
    with pytest.raises(ValueError, match="one length, got 2 and 3"):
        merge(feature_stats(draws(0, 5, 2)), feature_stats(draws(0, 5, 3)))
    with pytest.raises(ValueError, match="features must be finite"):
        feature_stats([[np.nan]])


@pytest.mark.parametrize(
    ("mean", "cov", "message"),
    [
        (np.zeros(2), np.eye(3), r"covariances \[d, d\]"),
        (np.zeros((2, 1)), np.eye(2), r"means must be \[d\]"),
        (np.zeros(2), np.full((2, 2), np.inf), "must be finite"),
        (np.zeros(2), np.diag([1.0, -1.0]), "cov_1 must be symmetric positive semidefinite, smallest eigenvalue -1"),
        (np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), "cov_1 must be symmetric"),
    ],
)
def test_bad_gaussians(mean, cov, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(mean, cov, np.zeros(2), np.eye(2))


def test_the_state_is_a_plain_tuple_of_arrays():
    """So that a stream can be saved and taken up again."""
    first, rest = feature_stats(draws(0, 5, 2)), feature_stats(draws(1, 9, 2))
    again = FeatureStats(*(np.array(leaf) for leaf in first))
    np.testing.assert_array_equal(merge(again, rest).cov, merge(first, rest).cov)


@pytest.mark.parametrize(("num", "other", "dim"), [(5, 7, 20), (30, 9, 20), (8, 40, 20), (30, 40, 20), (2, 2, 1)])
def test_of_sets_is_the_same_distance(num, other, dim):
    """By the matrix of either set's smaller side."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(num, dim)), 2 * rng.normal(size=(other, dim)) + 1
    expected = distance_of_stats(feature_stats(a), feature_stats(b))
    np.testing.assert_allclose(distance_of_features(a, b), expected, rtol=1e-9)
