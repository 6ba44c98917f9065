"""Metrics against closed forms and brute force."""

import numpy as np
import pytest

from jaxdiff.data import digits
from jaxdiff.metrics import digits as digit_metrics
from jaxdiff.metrics import frechet, memorisation, prdc


def halves():
    return [(digits.to_pixels(half.images), half.labels) for half in (digits.load("train"), digits.load("heldout"))]


def test_frechet_of_commuting_gaussians_is_a_sum_over_axes():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    a, b = rng.uniform(0, 3, 6), rng.uniform(0, 3, 6)
    a[0] = b[1] = 0  # singular
    m1, m2 = rng.normal(size=(2, 6))
    distance = frechet.frechet_distance(m1, rotation * a @ rotation.T, m2, rotation * b @ rotation.T)
    assert distance == pytest.approx(np.sum((m1 - m2) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), abs=1e-9)


def test_frechet_is_symmetric_and_zero_for_equal_sets():
    a, b = np.random.default_rng(1).normal(size=(2, 50, 4))
    assert frechet.between(frechet.stats(a), frechet.stats(b)) == pytest.approx(
        frechet.between(frechet.stats(b), frechet.stats(a))
    )
    assert frechet.between(frechet.stats(a), frechet.stats(a)) == pytest.approx(0, abs=1e-9)


def test_prdc_equals_brute_force():
    rng = np.random.default_rng(2)
    real, fake, k = rng.normal(size=(40, 3)), rng.normal(0.5, 1, size=(30, 3)), 3

    def radius(points, i):
        return np.sort([np.linalg.norm(points[i] - p) for j, p in enumerate(points) if j != i])[k - 1]

    near_real = np.array([[np.linalg.norm(y - x) <= radius(real, i) for i, x in enumerate(real)] for y in fake])
    near_fake = np.array([[np.linalg.norm(y - x) <= radius(fake, j) for j, y in enumerate(fake)] for x in real])
    found = prdc.prdc(real, fake, k)
    assert found.precision == pytest.approx(near_real.any(1).mean())
    assert found.recall == pytest.approx(near_fake.any(1).mean())
    assert found.density == pytest.approx(near_real.sum() / (k * len(fake)))
    assert found.coverage == pytest.approx(near_real.any(0).mean())


def test_prdc_sees_missing_modes_and_garbage():
    rng = np.random.default_rng(3)
    real = np.concatenate([rng.normal(-5, 1, (60, 2)), rng.normal(5, 1, (60, 2))])
    one_mode, garbage = rng.normal(5, 1, (60, 2)), rng.normal(30, 1, (60, 2))
    assert prdc.prdc(real, one_mode).precision > 0.9
    assert prdc.prdc(real, one_mode).recall < 0.6
    assert prdc.prdc(real, garbage) == (0, 0, 0, 0)


def test_memorisation_sees_copies():
    (train, _), (heldout, _) = halves()
    assert memorisation.memorisation(train[:50], train, heldout).share_near_copies == 1
    honest = memorisation.memorisation(heldout, train, heldout)
    assert honest.share_near_copies == pytest.approx(0.01, abs=0.005)
    assert honest.median_distance == honest.heldout_median_distance


def test_held_out_digits_reach_the_floor():
    train, heldout = halves()
    report = digit_metrics.report(*heldout, train, heldout)
    assert report["svm_accuracy"] > 0.98
    for name in ("frechet_pixels", "svm_accuracy", "precision", "recall", "density", "coverage"):
        assert report[name] == report[f"heldout_{name}"]
    assert digit_metrics.report(heldout[0], (heldout[1] + 1) % 10, train, heldout)["svm_accuracy"] < 0.02
    assert "svm_accuracy" not in digit_metrics.report(heldout[0], None, train, heldout)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        frechet.stats([[np.nan]])
    with pytest.raises(ValueError, match="at least 2"):
        _ = frechet.stats([[1.0]]).cov
    with pytest.raises(ValueError, match="covariances"):
        frechet.frechet_distance([0.0], [[1.0]], [0.0, 1.0], np.eye(2))
    with pytest.raises(ValueError, match="k must"):
        prdc.prdc(np.ones((3, 2)), np.ones((3, 2)), k=3)
    with pytest.raises(ValueError, match="samples must"):
        digit_metrics.report(np.ones((3, 4, 4, 1)), None, *halves())
