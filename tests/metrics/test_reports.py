"""Real digits through every metric: the floor is where it should be, and bad samples score worse than good ones."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxdiff.metrics import classifier
from jaxdiff.metrics.reports import digit_report


def halves():
    """Pixels 0 .. 16 and labels, split by a permutation of its own: these tests need no loader."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images = pixels.reshape(-1, 8, 8, 1)
    return [(images[half], labels[half]) for half in np.array_split(order, 2)]


TRAIN, HELDOUT = halves()


def test_the_classifier_knows_digits_that_it_has_not_seen():
    svm = classifier.fit(*TRAIN)
    assert classifier.accuracy(svm, *HELDOUT) > 0.975
    assert classifier.accuracy(svm, *TRAIN) > 0.99


def test_accuracy_of_shuffled_labels_is_chance():
    images, labels = HELDOUT
    guess = np.random.default_rng(1).permutation(labels)
    # The expected share of agreement of a permutation is sum p_i^2 = 0.1, with a deviation of 0.01.
    assert classifier.accuracy(classifier.fit(*TRAIN), images, guess) == pytest.approx(0.1, abs=0.04)


def test_heldout_digits_as_samples_equal_their_floor():
    found = digit_report(*HELDOUT, TRAIN, HELDOUT)
    metrics = [name for name in found if not name.startswith("heldout_")]
    assert len(found) == 2 * len(metrics) == 16
    for name in metrics:
        assert found[name] == found[f"heldout_{name}"], name
    assert found["share_near_copies"] == pytest.approx(0.01, abs=0.002)
    assert found["precision"] > 0.8
    assert found["recall"] > 0.8
    assert found["svm_accuracy"] > 0.975


def test_copies_look_perfect_but_for_memorisation():
    found = digit_report(*TRAIN, TRAIN, HELDOUT)
    assert abs(found["frechet_pixels"]) < 1e-8
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["nearest_train_distance"] == 0
    assert found["share_near_copies"] == 1


def test_noise_is_distinguished_from_digits():
    noise = np.random.default_rng(2).integers(0, 17, HELDOUT[0].shape)
    found = digit_report(noise, HELDOUT[1], TRAIN, HELDOUT)
    assert found["frechet_pixels"] > 100 * found["heldout_frechet_pixels"]
    assert found["svm_accuracy"] < 0.2
    assert found["precision"] == 0
    assert found["nearest_train_distance"] > 2 * found["heldout_nearest_train_distance"]


def test_one_class_loses_recall_but_not_precision():
    images, labels = HELDOUT
    found = digit_report(images[labels == 3], labels[labels == 3], TRAIN, HELDOUT)
    assert found["precision"] > 0.75
    assert found["recall"] < 0.2
    assert found["coverage"] < 0.2


def test_unconditional_samples_have_no_accuracy():
    found = digit_report(HELDOUT[0], None, TRAIN, HELDOUT)
    assert "svm_accuracy" not in found
    assert found["heldout_svm_accuracy"] > 0.975


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (HELDOUT[0] * 255 / 16, "samples must be on the pixel scale 0 .. 16, got 0 .. 255"),
        (HELDOUT[0] / 8 - 1, "samples must be on the pixel scale 0 .. 16, got -1 .. 1"),
        (np.full((10, 8, 8, 1), np.nan), "samples must be on the pixel scale"),
        (HELDOUT[0].reshape(-1, 64), r"samples must be \[N >= 4, 8, 8, 1\], got"),
        (HELDOUT[0][:3], r"samples must be \[N >= 4, 8, 8, 1\], got \[3, 8, 8, 1\]"),
    ],
)
def test_bad_samples(samples, message):
    with pytest.raises(ValueError, match=message):
        digit_report(samples, HELDOUT[1][: len(samples)], TRAIN, HELDOUT)


def test_bad_labels_and_sizes():
    images, labels = HELDOUT
    svm = classifier.fit(*TRAIN)
    with pytest.raises(ValueError, match=r"labels must be \[898\], one an image, got shape \[897\]"):
        classifier.accuracy(svm, images, labels[:-1])
    with pytest.raises(ValueError, match=r"labels must be .*, got shape \[898, 1\]"):
        classifier.accuracy(svm, images, labels[:, None])
    with pytest.raises(ValueError, match="images must have the classifier's 64 pixels, got 32"):
        classifier.accuracy(svm, images[:, :4], labels)
    with pytest.raises(ValueError, match="labels must be"):
        classifier.fit(images, labels[:5])
