"""The digits and the pipeline over them."""

import numpy as np
import pytest

from jaxdiff.data import digits, pipeline


def test_halves_partition_the_digits():
    whole, train, heldout = (digits.load(split) for split in ("all", "train", "heldout"))
    rows = lambda part: {image.tobytes() for image in part.images}  # noqa: E731
    assert len(train.labels) + len(heldout.labels) == len(whole.labels) == 1797
    assert rows(train) | rows(heldout) == rows(whole)
    assert not rows(train) & rows(heldout)
    assert np.abs(np.bincount(train.labels) - np.bincount(heldout.labels)).max() <= 1
    assert set(np.unique(digits.to_pixels(whole.images))) == set(range(digits.LEVELS))
    with pytest.raises(ValueError, match="split"):
        digits.load("test")


def make(seed=0, size=7):
    return pipeline.batches(pipeline.ArraySource(label=np.arange(20)), size, seed)


def test_every_epoch_holds_every_example_in_another_order():
    it = make(size=20)
    first, second = next(it)["label"], next(it)["label"]
    assert sorted(first) == sorted(second) == list(range(20))
    assert list(first) != list(second)
    assert list(next(make(seed=1, size=20))["label"]) != list(first)


@pytest.mark.parametrize("position", [0, 1, 5])
def test_resumes_to_the_very_example(position):
    it = make()
    for _ in range(position):
        next(it)
    state = it.get_state()
    ahead = [next(it)["label"].tolist() for _ in range(4)]
    resumed = make()
    resumed.set_state(state)
    assert [next(resumed)["label"].tolist() for _ in range(4)] == ahead


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="batch_size"):
        make(size=0)
    with pytest.raises(ValueError, match="equal length"):
        pipeline.ArraySource(image=np.zeros(3), label=np.zeros(4))
    with pytest.raises(ValueError, match="empty"):
        pipeline.batches(pipeline.ArraySource(label=np.zeros(0)), 1, 0)
