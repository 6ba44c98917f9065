"""Mode coverage where the answer is known."""

import numpy as np
import pytest

from jaxdiff.data import digits, gaussians, pipeline, stacked
from jaxdiff.metrics import classifier, modes

RNG = np.random.default_rng


def test_equal_shares_have_no_divergence():
    found = modes.coverage(np.repeat(np.arange(10), 7), 10)
    assert found.modes == 10
    assert found.kl == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("hit", [1, 3, 10])
def test_collapse_to_some_modes_costs_the_logarithm_of_their_share(hit):
    found = modes.coverage(np.repeat(np.arange(hit), 5), 10)
    assert found == (hit, pytest.approx(np.log(10 / hit), abs=1e-12))


def test_the_target_may_be_uneven_and_counts():
    labels = np.repeat([0, 1, 2], [20, 30, 50])
    assert modes.coverage(labels, 3, [2, 3, 5]).kl == pytest.approx(0, abs=1e-12)
    expected = 0.2 * np.log(0.4) + 0.3 * np.log(1.2) + 0.5 * np.log(2.0)
    assert modes.coverage(labels, 3, [0.5, 0.25, 0.25]).kl == pytest.approx(expected)


def test_perfect_samples_have_the_divergence_of_their_number():
    """(K - 1) / 2N, and K exp(-N / K) modes that are missed by chance."""
    found = modes.coverage(RNG(0).integers(1000, size=modes.NUM_STACKED), 1000)
    assert found.modes == 1000
    assert found.kl == pytest.approx(999 / (2 * modes.NUM_STACKED), rel=0.15)
    few = modes.coverage(RNG(0).integers(1000, size=2000), 1000)
    assert 1000 - few.modes == pytest.approx(1000 * np.exp(-2), abs=40)


@pytest.mark.parametrize(("within", "share"), [(1.0, 1 - np.exp(-0.5)), (3.0, 1 - np.exp(-4.5)), (4.0, 1 - np.exp(-8))])
def test_true_samples_of_the_25_gaussians(within, share):
    """In two dimensions a share 1 - exp(-r^2 / 2) lies within r standard deviations."""
    points, _ = gaussians.load(20_000)
    found = modes.mixture_coverage(points, gaussians.grid().means, gaussians.STD, within)
    assert found.modes == 25
    assert found.high_quality == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 20_000) + 1e-4)
    assert found.kl == pytest.approx(24 / 40_000, rel=1)


def test_a_mode_needs_a_sample_of_high_quality():
    means = gaussians.grid().means
    points = np.concatenate([means[:7], means[7:9] + 0.3])
    found = modes.mixture_coverage(points, means, gaussians.STD)
    assert found.modes == 7
    assert found.high_quality == pytest.approx(7 / 9)
    assert found.kl == pytest.approx(np.log(25 / 9))


@pytest.fixture(scope="module")
def svm():
    real = digits.load("all")
    return classifier.fit(digits.to_pixels(real.images), real.labels)


def test_real_stacked_digits_are_read_as_what_they_are(svm):
    batch = next(pipeline.batches(stacked.load(num=500), 500, seed=0))
    labels = modes.stacked_labels(digits.to_pixels(batch["image"]), svm)
    np.testing.assert_array_equal(labels, batch["label"])


@pytest.mark.full
def test_real_stacked_digits_reach_all_thousand_modes():
    """Held-out digits, read by a classifier of the others."""
    svm = classifier.fit(digits.to_pixels(digits.load("train").images), digits.load("train").labels)
    source = stacked.load("heldout", modes.NUM_STACKED)
    images = np.stack([source[index]["image"] for index in range(len(source))])
    found = modes.stacked_coverage(digits.to_pixels(images), svm)
    assert found.modes == 1000
    assert found.kl < 0.03


def test_a_channel_that_is_always_one_digit_has_a_hundred_modes_at_most(svm):
    real = digits.load("train")
    ones = np.broadcast_to(real.images[real.labels == 1][:1], (3000, 8, 8, 1))
    others = RNG(0).integers(len(real.images), size=(2, 3000))
    images = np.concatenate([real.images[others[0]], ones, real.images[others[1]]], axis=-1)
    found = modes.stacked_coverage(digits.to_pixels(images), svm)
    assert found.modes == 100
    assert found.kl == pytest.approx(np.log(10), abs=0.05)


def test_bad_input(svm):
    with pytest.raises(ValueError, match="num_modes must be at least 1, got 0"):
        modes.coverage([0], 0)
    with pytest.raises(ValueError, match=r"labels must lie in 0 .. 9, got 3 .. 10"):
        modes.coverage([3, 10], 10)
    with pytest.raises(ValueError, match="labels must lie"):
        modes.coverage([-1], 10)
    for labels in ([], [0.5], [[1]]):
        with pytest.raises(ValueError, match=r"labels must be \[N >= 1\] integers"):
            modes.coverage(labels, 10)
    for target in ([1.0], [0.0, 1.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match=r"target must be \[2\] positive numbers"):
            modes.coverage([0], 2, target)
    with pytest.raises(ValueError, match="features must have one length"):
        modes.mixture_coverage(np.zeros((3, 2)), np.zeros((3, 1)), 1.0)
    with pytest.raises(ValueError, match="samples must be finite"):
        modes.mixture_coverage([[np.nan, 0.0]], np.zeros((3, 2)), 1.0)
    with pytest.raises(ValueError, match=r"std and within must be positive, got 0\.0 and 3\.0"):
        modes.mixture_coverage(np.zeros((3, 2)), np.zeros((3, 2)), 0.0)
    with pytest.raises(ValueError, match=r"images must be \[N, H, W, 3\]"):
        modes.stacked_coverage(np.zeros((2, 8, 8, 1)), svm)
    with pytest.raises(ValueError, match="features"):
        modes.stacked_coverage(np.zeros((2, 5, 5, 3)), svm)
