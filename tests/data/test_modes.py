"""Data whose modes are known: 25 Gaussians, stacked digits, StackedMNIST in the true format."""

import sys

import numpy as np
import pytest

from jaxdiff.data import digits, gaussians, pipeline, stacked
from tests.support.tfds_files import write


def test_gaussians_have_their_moments():
    points, labels = gaussians.load(50_000, seed=3)
    assert points.dtype == np.float32
    np.testing.assert_allclose(np.bincount(labels) / 50_000, 0.04, atol=5 * np.sqrt(0.04 / 50_000))
    rest = points - gaussians.grid().means[labels]
    np.testing.assert_allclose(rest.std(axis=0), gaussians.STD, rtol=0.02)
    np.testing.assert_allclose(np.cov(points.T), (2 + gaussians.STD**2) * np.eye(2), atol=0.05)
    np.testing.assert_array_equal(points, gaussians.load(50_000, seed=3)[0])


def test_grid_is_square_and_centred():
    means = gaussians.grid(3, 2.0).means
    assert sorted(map(tuple, means)) == [(a, b) for a in (-2.0, 0.0, 2.0) for b in (-2.0, 0.0, 2.0)]


def test_stacked_digits_are_three_digits():
    source, real = stacked.load("train", num=50, seed=1), digits.load("train")
    assert len(source) == 50
    for index in (0, 49):
        example, rows = source[index], source.triples[index]
        assert example["image"].dtype == np.float32
        for channel, row in enumerate(rows):
            np.testing.assert_array_equal(example["image"][..., channel], real.images[row, ..., 0])
        assert example["label"] == int("".join(str(real.labels[row]) for row in rows))
    batch = next(pipeline.batches(source, 50, seed=0))
    assert batch["image"].shape == (50, 8, 8, 3)
    np.testing.assert_array_equal(source.triples, stacked.load("train", num=50, seed=1).triples)


def test_stacked_digits_have_all_modes_alike():
    source, real = stacked.load("all"), digits.load("all")
    labels = real.labels[source.triples] @ np.array([100, 10, 1])
    counts = np.bincount(labels, minlength=1000)
    share = np.bincount(real.labels) / len(real.labels)
    expected = len(source) * np.einsum("a,b,c->abc", share, share, share).ravel()
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())


def test_stacked_mnist_is_read_and_padded_without_tensorflow(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1), dtype=np.uint8)
    write(tmp_path, "mnist", images)
    source = stacked.mnist("train", num=4, data_dir=tmp_path)
    example, rows = source[2], source.triples[2]
    assert example["image"].shape == (32, 32, 3)
    for channel, row in enumerate(rows):
        np.testing.assert_array_equal(example["image"][2:-2, 2:-2, channel], images[row, ..., 0])
    assert example["image"].dtype == np.uint8
    assert not example["image"][:2].any()
    assert not example["image"][:, -2:].any()
    assert example["label"] == rows @ np.array([100, 10, 1])
    assert "tensorflow" not in sys.modules


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match=r"MNIST is not prepared in .*builder\('mnist'.*download_and_prepare"):
        stacked.mnist("train", data_dir=tmp_path)
    with pytest.raises(ValueError, match="must be positive, got 0, 0, 1797"):
        stacked.load("all", num=0)
    with pytest.raises(ValueError, match="split must be"):
        stacked.load("test")
    with pytest.raises(ValueError, match="num must be at least 1, got 0"):
        gaussians.load(0)
    with pytest.raises(ValueError, match=r"side, spacing and std must be positive, got 5, 1\.0, 0\.0"):
        gaussians.grid(std=0.0)
