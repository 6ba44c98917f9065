"""The Inception Score against its equation in plain loops and against cases that are known."""

import numpy as np
import pytest

from jaxdiff.metrics.inception_score import inception_score


def by_definition(logits):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    q = p.mean(axis=0)
    return np.exp(np.mean([sum(a * np.log(a / b) for a, b in zip(row, q, strict=True)) for row in p]))


@pytest.mark.parametrize("splits", [1, 3, 7])
def test_equals_the_definition(splits):
    logits = 2 * np.random.default_rng(0).normal(size=(40, 6))
    parts = [by_definition(part) for part in np.array_split(logits, splits)]
    got = inception_score(logits, splits)
    np.testing.assert_allclose(got, (np.mean(parts), np.std(parts)), rtol=1e-12, atol=1e-14)
    assert got.mean > 1.5


def test_sure_of_every_class_gives_their_number():
    """float32 probabilities would be 0 there, and 0 log 0 no number."""
    logits = 1e4 * np.tile(np.eye(8), (10, 1))
    assert inception_score(logits).mean == pytest.approx(8, rel=1e-12)
    assert inception_score(logits).std == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("row", [np.zeros(5), np.array([9.0, 0, 0, 0, 0]), np.full(5, 1e6)])
def test_all_images_alike_give_one(row):
    assert inception_score(np.tile(row, (20, 1))).mean == pytest.approx(1, abs=1e-12)


def test_a_constant_of_an_image_changes_nothing():
    logits = np.random.default_rng(1).normal(size=(30, 4))
    shifted = logits + 100 * np.random.default_rng(2).normal(size=(30, 1))
    np.testing.assert_allclose(inception_score(shifted), inception_score(logits), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("splits", [0, -1, 10])
def test_bad_splits(splits):
    with pytest.raises(ValueError, match=f"splits must be 1 to the 9 images, got {splits}"):
        inception_score(np.zeros((9, 3)), splits)


def test_bad_logits():
    with pytest.raises(ValueError, match="logits must be finite"):
        inception_score(np.full((10, 3), np.nan))
