"""The digits and the pipeline over them."""

import grain
import jax
import numpy as np
import pytest

from jaxdiff.data import digits, pipeline, pixels


def test_halves_partition_the_digits():
    whole, train, heldout = (digits.load(split) for split in ("all", "train", "heldout"))
    rows = lambda part: {image.tobytes() for image in part.images}  # noqa: E731
    assert len(train.labels) + len(heldout.labels) == len(whole.labels) == 1797
    assert rows(train) | rows(heldout) == rows(whole)
    assert not rows(train) & rows(heldout)
    assert np.abs(np.bincount(train.labels) - np.bincount(heldout.labels)).max() <= 1
    assert set(np.unique(digits.to_pixels(whole.images))) == set(range(digits.GREY_VALUES))
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


class Slow:
    """A source that has no `take`."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return {"image": np.full((2, 2), index, np.uint8), "label": np.int32(index)}


def test_a_source_without_take_gives_the_same_batches():
    rows = np.arange(20)
    whole = pipeline.ArraySource(
        image=np.broadcast_to(rows[:, None, None], (20, 2, 2)).astype(np.uint8), label=rows.astype(np.int32)
    )
    for a, b, _ in zip(pipeline.batches(Slow(), 7, 3), pipeline.batches(whole, 7, 3), range(9), strict=False):
        for name in ("image", "label"):
            np.testing.assert_array_equal(a[name], b[name])
            assert a[name].dtype == b[name].dtype


def test_the_order_and_the_state_are_those_of_grain_reading_examples():
    """As runs were made before batches were read at once: they go on."""
    theirs = iter(grain.MapDataset.source(Slow()).seed(3).shuffle().repeat().batch(7).to_iter_dataset())
    ours = pipeline.batches(Slow(), 7, 3)
    for _ in range(9):
        np.testing.assert_array_equal(next(ours)["label"], next(theirs)["label"])
    assert ours.get_state() == theirs.get_state()


@pytest.mark.parametrize("num_hosts", [2, 4])
def test_hosts_share_every_batch_without_overlap(num_hosts):
    source = pipeline.ArraySource(label=np.arange(30))
    one = pipeline.batches(source, 12, 5)
    hosts = [pipeline.batches(source, 12, 5, host, num_hosts) for host in range(num_hosts)]
    for _ in range(10):  # four epochs, whose ends lie inside a batch
        np.testing.assert_array_equal(np.concatenate([next(it)["label"] for it in hosts]), next(one)["label"])
    assert {str(it.get_state()) for it in hosts} == {str(one.get_state())}


@pytest.mark.parametrize(("before", "after"), [(2, 2), (4, 2), (1, 3), (3, 1)])
def test_resumes_exactly_on_another_number_of_hosts(before, after):
    source = pipeline.ArraySource(label=np.arange(30))
    unbroken = [next(it)["label"] for it in [pipeline.batches(source, 12, 5)] for _ in range(9)]
    hosts = [pipeline.batches(source, 12, 5, host, before) for host in range(before)]
    for it in hosts:
        for _ in range(4):
            next(it)
    resumed = [pipeline.batches(source, 12, 5, host, after) for host in range(after)]
    for it in resumed:
        it.set_state(hosts[0].get_state())
    for expected in unbroken[4:]:
        np.testing.assert_array_equal(np.concatenate([next(it)["label"] for it in resumed]), expected)


def test_this_process_is_the_default_host(monkeypatch):
    monkeypatch.setattr(pipeline.jax, "process_count", lambda: 2)
    monkeypatch.setattr(pipeline.jax, "process_index", lambda: 1)
    source = pipeline.ArraySource(label=np.arange(30))
    np.testing.assert_array_equal(
        next(pipeline.batches(source, 12, 5))["label"], next(pipeline.batches(source, 12, 5, 1, 2))["label"]
    )


def test_bytes_become_the_same_floats_on_the_host_and_in_a_compiled_step():
    image = np.arange(256, dtype=np.uint8)
    host, device = pixels.to_float(image), jax.jit(pixels.normalise)({"image": image})["image"]
    assert host.dtype == device.dtype == np.float32
    np.testing.assert_array_equal(host, device)
    np.testing.assert_array_equal(np.round((host + 1) * 127.5), image)
    np.testing.assert_array_max_ulp(host, (image / 127.5 - 1).astype(np.float32), maxulp=1)
    assert pixels.to_float(host) is host


def test_floats_leave_the_compiled_step_as_it_was():
    step = lambda batch: batch["image"] @ batch["image"].T + batch["label"][:, None]  # noqa: E731
    batch = {"image": np.ones((3, 2), np.float32), "label": np.arange(3)}
    normalising = lambda batch: step(pixels.normalise(batch))  # noqa: E731
    assert str(jax.make_jaxpr(normalising)(batch)) == str(jax.make_jaxpr(step)(batch))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="batch_size=7 must be divisible by the 2 hosts"):
        pipeline.batches(pipeline.ArraySource(label=np.arange(9)), 7, 0, 0, 2)
    with pytest.raises(ValueError, match="host must be 0 to num_hosts - 1 = 1, got 2"):
        pipeline.batches(pipeline.ArraySource(label=np.arange(9)), 8, 0, 2, 2)
    with pytest.raises(ValueError, match="batch_size"):
        make(size=0)
    with pytest.raises(ValueError, match="equal length"):
        pipeline.ArraySource(image=np.zeros(3), label=np.zeros(4))
    with pytest.raises(ValueError, match="empty"):
        pipeline.batches(pipeline.ArraySource(label=np.zeros(0)), 1, 0)
