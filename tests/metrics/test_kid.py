"""The kernel distance against sums over pairs, its expectation against a closed form, its error against draws anew."""

import numpy as np
import pytest

from jaxdiff.metrics.kid import KID, kid, squared_mmd


def draws(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_pairs(a, b):
    """Eq. 3 of Gretton et al., pair by pair."""
    k = lambda x, y: (x @ y / len(x) + 1) ** 3  # noqa: E731
    n, m = len(a), len(b)
    within_a = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(k(x, y) for x in a for y in b) / (n * m)


def test_equals_the_sum_over_pairs():
    a, b = draws(0, 12, 5), draws(1, 9, 5) * 1.3 + 0.4
    np.testing.assert_allclose(squared_mmd(a, b), by_pairs(a, b), rtol=1e-12)
    np.testing.assert_allclose(squared_mmd(b, a), by_pairs(a, b), rtol=1e-12)


def moments(mean, var):
    """E x, E x^2, E x^3 of a normal distribution."""
    return np.array([mean, mean**2 + var, mean**3 + 3 * mean * var])


def test_is_unbiased():
    """In one dimension the distance is 3 (dE x)^2 + 3 (dE x^2)^2 + (dE x^3)^2: the kernel's binomial."""
    exact = np.array([3, 3, 1]) @ (moments(0, 1) - moments(0.3, 0.49)) ** 2
    values = [squared_mmd(draws(seed, 8, 1), 0.3 + 0.7 * draws(seed + 10_000, 11, 1)) for seed in range(4_000)]
    assert abs(np.mean(values) - exact) < 4 * np.std(values) / 4_000**0.5
    same = [squared_mmd(draws(seed, 8, 1), draws(seed + 10_000, 8, 1)) for seed in range(4_000)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 4_000**0.5


def test_one_subset_of_everything_is_the_whole():
    a, b = draws(0, 20, 3), draws(1, 20, 3) + 1
    got = kid(a, b, subsets=3)
    assert got.mean == pytest.approx(squared_mmd(a, b), rel=1e-12)
    assert got.std == pytest.approx(0, abs=1e-12)
    assert np.isnan(got.error)


def test_subsets_are_a_function_of_the_seed():
    a, b = draws(0, 60, 3), draws(1, 50, 3) + 1
    assert kid(a, b, 5, 20, seed=3) == kid(a, b, 5, 20, seed=3) != kid(a, b, 5, 20, seed=4)
    assert isinstance(kid(a, b, 5, 20), KID)


def test_the_error_is_that_of_images_drawn_anew():
    runs = [kid(draws(seed, 400, 2), draws(seed + 999, 400, 2) + 0.7, subsets=60, size=100) for seed in range(60)]
    spread = np.std([run.mean for run in runs], ddof=1)
    assert np.mean([run.error for run in runs]) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize(
    ("real", "fake", "options", "says"),
    [
        ((5, 2), (1, 2), {}, "fake must hold at least 2, got 1"),
        ((5, 2), (5, 3), {}, "features must have one length"),
        ((5, 2), (5, 2), {"subsets": 1}, "subsets and size must be at least 2, got 1, 1000"),
        ((5, 2), (5, 2), {"size": 1}, "got 100, 1"),
    ],
)
def test_bad_input(real, fake, options, says):
    with pytest.raises(ValueError, match=says):
        kid(np.zeros(real), np.zeros(fake), **options)
