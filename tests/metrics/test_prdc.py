"""Manifold metrics against the definitions, written as loops over pairs, and against cases that are known."""

import numpy as np
import pytest
import sklearn

from jaxdiff.metrics.prdc import PRDC, neighbourhoods, prdc


def draws(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_definition(real, fake, k):
    """The four equations as they stand, pair by pair."""

    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i)[k - 1]

    radius_real = [radius(real, i) for i in range(len(real))]
    radius_fake = [radius(fake, i) for i in range(len(fake))]
    balls = [sum(np.linalg.norm(x - y) <= r for x, r in zip(real, radius_real, strict=True)) for y in fake]
    return PRDC(
        precision=np.mean([count > 0 for count in balls]),
        recall=np.mean([any(np.linalg.norm(x - y) <= r for y, r in zip(fake, radius_fake, strict=True)) for x in real]),
        density=np.sum(balls) / (k * len(fake)),
        coverage=np.mean(
            [any(np.linalg.norm(x - y) <= r for y in fake) for x, r in zip(real, radius_real, strict=True)]
        ),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("num_real", "num_fake", "shift"), [(40, 25, 1.2), (20, 45, 1.5)])
def test_equals_the_definition(num_real, num_fake, shift, k):
    real, fake = draws(0, num_real, 3), 1.5 * draws(1, num_fake, 3) + shift
    got = prdc(real, fake, k)
    assert 0 < got.precision < 1  # otherwise nothing would be compared
    np.testing.assert_allclose(got, by_definition(real, fake, k), rtol=1e-12)


def test_chunks_do_not_change_the_result():
    real, fake = draws(2, 301, 4), draws(3, 250, 4) + 0.5
    whole = prdc(real, fake)
    with sklearn.config_context(working_memory=0.02):  # MiB: nine rows at a time
        assert prdc(real, fake) == whole


@pytest.mark.parametrize("offset", [0, 100])
def test_a_set_against_itself(offset):
    """Every ball holds its centre and k more, of which the last lies on the rim."""
    real = draws(4, 60, 3) + offset
    got = prdc(real, real, k=3)
    assert got == PRDC(precision=1.0, recall=1.0, density=pytest.approx(4 / 3), coverage=1.0)


def test_far_sets_share_nothing():
    assert prdc(draws(5, 30, 2), draws(6, 30, 2) + 100) == PRDC(0.0, 0.0, 0.0, 0.0)


def test_one_of_two_modes():
    """Good images of half the data: precision 1, recall and coverage one half. Ball radii stay within a mode."""
    mode = np.arange(10.0)[:, None]
    real, fake = np.concatenate([mode, mode + 1000]), mode + 0.25
    got = prdc(real, fake, k=2)
    assert (got.precision, got.recall, got.coverage) == (1.0, 0.5, 0.5)
    assert got.density == pytest.approx(by_definition(real, fake, 2).density)


def test_a_collapsed_generator():
    """One real image drawn again and again: perfect precision, recall of one image only."""
    real = np.arange(20.0)[:, None] ** 1.5
    got = prdc(real, np.repeat(real[10:11], 12, axis=0), k=3)
    assert got.precision == 1
    assert got.recall == 1 / 20
    assert got.coverage < 0.5


def test_sets_exchanged_exchange_precision_and_recall():
    a, b = draws(7, 50, 3), draws(8, 40, 3) * 1.3 + 0.4
    assert prdc(a, b).precision == prdc(b, a).recall
    assert prdc(a, b).recall == prdc(b, a).precision


@pytest.mark.parametrize("k", [0, -1, 5, 6])
def test_bad_k(k):
    with pytest.raises(ValueError, match=f"k must be at least 1 and below both set sizes 9, 5, got {k}"):
        prdc(draws(0, 9, 2), draws(1, 5, 2), k)


def test_bad_features():
    with pytest.raises(ValueError, match="'real': 2, 'fake': 3"):
        prdc(draws(0, 9, 2), draws(1, 9, 3))
    with pytest.raises(ValueError, match="fake must be finite"):
        prdc(draws(0, 9, 2), np.full((9, 2), np.nan))


def test_the_four_numbers_are_means_over_images():
    real, fake = draws(9, 30, 2), draws(10, 20, 2) + 1
    found, four = neighbourhoods(real, fake, k=2), prdc(real, fake, k=2)
    assert [len(part) for part in found] == [20, 30, 30]
    means = (found.balls > 0).mean(), found.recalled.mean(), found.balls.mean() / 2, found.covered.mean()
    np.testing.assert_allclose(four, means, rtol=1e-15)
