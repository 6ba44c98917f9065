"""The step and the loop: what they compute, how often they compile, when they stop."""

import json
import os
import resource
import signal
import threading
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.data import pipeline
from jaxdiff.train import ema, hosts, loop, sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.train.checksums import checksums
from jaxdiff.train.monitor import MonitorFactory
from jaxdiff.train.state import create
from jaxdiff.train.step import scan_steps, train_step
from tests.support import tiny_run
from tests.support.least_squares import KEY, Poisoned, make, square_loss


def test_a_step_is_gradient_descent_with_an_average():
    step, state = make()
    x = jnp.arange(12.0).reshape(4, 3)
    state, metrics = step(state, KEY, {"x": x})
    gradient = -2 / 3 * x.mean(0)
    np.testing.assert_allclose(state.params["w"], -0.1 * gradient, rtol=1e-6)
    np.testing.assert_allclose(state.ema["w"], -0.05 * gradient, rtol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], np.linalg.norm(gradient), rtol=1e-6)
    assert int(state.step) == 1


def test_accumulation_equals_one_large_batch():
    x = jax.random.normal(KEY, (8, 3))
    whole, _ = make()[0](make()[1], KEY, {"x": x})
    parts, _ = make(rounds=4)[0](make()[1], KEY, {"x": x})
    np.testing.assert_allclose(whole.params["w"], parts.params["w"], rtol=1e-6)


def test_accumulation_gives_each_part_a_key_and_every_nth_example():
    """Interleaved parts: each device takes them from its own examples."""
    keys, parts = jax.random.split(jax.random.fold_in(KEY, 0), 2), jnp.arange(8.0).reshape(4, 2)

    def loss(params, key, batch):
        return params["w"][0] * (batch["x"][:, 0] + jax.random.uniform(key))

    moved, metrics = make(loss, rounds=2)[0](make()[1], KEY, {"x": parts})
    expected = np.mean([np.mean(parts[i::2, 0]) + jax.random.uniform(k) for i, k in enumerate(keys)])
    np.testing.assert_allclose(moved.params["w"][0], -0.1 * expected, rtol=1e-6)
    assert float(metrics["loss"]) == 0.0
    with pytest.raises(ValueError, match="3 rounds of accumulation must divide the batch, got 4 examples"):
        make(loss, rounds=3)[0](make()[1], KEY, {"x": parts})


def test_many_steps_are_single_steps_in_a_row():
    step, state = make(lambda params, key, batch: square_loss(params, key, batch) * jax.random.uniform(key))
    batches = jax.random.normal(KEY, (3, 4, 3))
    together, metrics = jax.jit(scan_steps(step))(state, KEY, {"x": batches})
    for batch in batches:
        state, single = step(state, KEY, {"x": batch})
    np.testing.assert_allclose(together.params["w"], state.params["w"], rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"][-1], single["loss"], rtol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing_but_the_count():
    step, state = make()
    moved, metrics = step(state, KEY, {"x": jnp.full((4, 3), jnp.nan)})
    assert np.isnan(metrics["loss"])
    assert int(moved.step) == 1
    np.testing.assert_array_equal(moved.params["w"], state.params["w"])
    np.testing.assert_array_equal(moved.ema["w"], state.ema["w"])


def test_training_stops_on_a_loss_that_is_not_finite(tmp_path):
    step, state = make()
    schedule = loop.TrainSchedule(20, steps_per_dispatch=2, log_every=4, checkpoint_every=4)
    with pytest.raises(loop.TrainingDiverged, match=r"loss=nan.* at step 9; .*checkpoint is step 8.*learning rate"):
        loop.fit(step, state, Poisoned(bad=10), KEY, schedule, tmp_path, report=lambda line: None)
    restored = Checkpoints(tmp_path).restore(state)
    assert restored.step == 8
    assert np.all(np.isfinite(restored.state.params["w"]))


def test_an_update_that_is_not_finite_is_never_saved(tmp_path):
    """Loss and gradient are finite here, only the schedule is not."""
    optimizer = optax.sgd(lambda count: jnp.where(count < 5, 0.1, jnp.nan))
    step = train_step(square_loss, optimizer, lambda step: jnp.array(0.5))
    state = create({"w": jnp.zeros(3)}, optimizer)
    schedule = loop.TrainSchedule(20, log_every=3, checkpoint_every=3)
    with pytest.raises(loop.TrainingDiverged, match=r"update_norm=nan at step 5; .*checkpoint is step 3"):
        loop.fit(step, state, Poisoned(bad=-1), KEY, schedule, tmp_path, report=lambda line: None)
    restored = Checkpoints(tmp_path).restore(create({"w": jnp.zeros(3)}, optimizer))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(restored.state))


def test_the_loop_compiles_once(tmp_path):
    traces = []

    def loss(params, key, batch):
        traces.append(1)
        return square_loss(params, key, batch)

    step, state = make(loss)
    schedule = loop.TrainSchedule(12, steps_per_dispatch=3, log_every=6, checkpoint_every=6)
    # Nothing is moved but by name; that nothing is read implicitly bites on accelerators only, hence the spy below.
    with jax.transfer_guard("disallow"):
        state = loop.fit(step, state, Poisoned(bad=-1), KEY, schedule, tmp_path, report=lambda line: None)
    assert int(state.step) == 12
    assert len(traces) == 1


@pytest.fixture
def reads(monkeypatch):
    """Names of the host's reads of device arrays in this thread, as they happen."""
    names, array, main = [], type(jnp.ones(())), threading.current_thread()

    def spy(owner, name):
        original = getattr(owner, name)

        def recorded(*args, **kwargs):
            if threading.current_thread() is main and any(isinstance(a, jax.Array) for a in jax.tree.leaves(args)):
                names.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, recorded)

    for name in ("__array__", "__float__", "__int__", "__bool__", "__index__", "item", "tolist", "block_until_ready"):
        spy(array, name)
    for name in ("device_get", "block_until_ready"):
        spy(jax, name)
    for name in ("asarray", "array", "stack", "concatenate"):  # these read CPU arrays through the buffer protocol
        spy(np, name)
    return names


def test_the_spy_sees_reads(reads):
    x = jnp.arange(3.0)
    for read in (lambda: float(x[0]), lambda: np.asarray(x), lambda: x[1].item(), lambda: jax.device_get(x)):
        before = len(reads)
        read()
        assert len(reads) > before
    before = len(reads)
    x = x + 1
    assert len(reads) == before


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("log_every", [6, 2])
def test_the_host_waits_for_the_device_only_to_log(tmp_path, reads, log_every, watched):
    """Transfer guards do not bite on CPUs, hence the spy; the last step is left out, since it is saved."""
    at = {}

    class Counting(Poisoned):
        def __next__(self):
            at[self.count] = len(reads)  # reads before batch number `count` was asked for
            return super().__next__()

    def preview(step, state):
        return np.full((2, 2, 3), state.ema["w"][0] > 0, np.uint8)

    step, state = make()
    schedule = loop.TrainSchedule(6, log_every=log_every, checkpoint_every=6, grid_every=int(watched))
    ignoring = SimpleNamespace(scalars=lambda *given: None, image=lambda *given: None, close=lambda: None)
    monitors = [MonitorFactory("it", lambda done, config: ignoring)] if watched else []
    loop.fit(step, state, Counting(bad=-1), KEY, schedule, tmp_path, None, lambda line: None, 1, monitors, preview)
    waited = [count for count in range(1, 6) if at[count] > at[count - 1]]
    assert waited == [count for count in range(1, 6) if count % log_every == 0]


@pytest.mark.parametrize("number", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGINT"])
def test_a_signal_between_dispatches_is_saved_too(tmp_path, monkeypatch, number):
    """It comes while the loop writes its metrics, after it asked whether to stop."""
    before = signal.signal(signal.Signals[number], signal.SIG_DFL)  # whoever started the tests may ignore it
    write = loop.MetricsFile.write

    def write_and_signal(self, line):
        write(self, line)
        if line["step"] == 6:
            os.kill(os.getpid(), signal.Signals[number])

    monkeypatch.setattr(loop.MetricsFile, "write", write_and_signal)
    step, state = make()
    said = []
    try:
        state = loop.fit(
            step, state, Poisoned(bad=-1), KEY, loop.TrainSchedule(20, log_every=3), tmp_path, report=said.append
        )
    finally:
        signal.signal(signal.Signals[number], before)
    assert Checkpoints(tmp_path).steps() == [int(state.step)] == [7]
    assert "stopped at step 7 of 20, saved at step 7" in said[-1]


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with hosts.stopping() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop(0)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stop(1)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_during_the_last_save_does_not_break_it(tmp_path, monkeypatch):
    close = Checkpoints.close

    def signal_and_close(self):
        os.kill(os.getpid(), signal.SIGTERM)
        close(self)

    monkeypatch.setattr(Checkpoints, "close", signal_and_close)
    step, state = make()
    loop.fit(step, state, Poisoned(bad=-1), KEY, loop.TrainSchedule(4), tmp_path, report=lambda line: None)
    monkeypatch.undo()
    assert Checkpoints(tmp_path).steps() == [4]


def test_a_run_goes_on_when_nothing_can_be_written(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(Checkpoints, "save", fail)
    monkeypatch.setattr(loop.MetricsFile, "write", fail)
    step, state = make()
    said = []
    schedule = loop.TrainSchedule(4, log_every=2, checkpoint_every=2)
    state = loop.fit(step, state, Poisoned(bad=-1), KEY, schedule, tmp_path, report=said.append)
    assert int(state.step) == 4
    assert sum("no space left on device; training goes on" in line for line in said) == 4
    step, state = make()
    assert int(loop.fit(step, state, Poisoned(bad=-1), KEY, schedule, tmp_path / "mute", report=fail).step) == 4


def test_donation_is_taken():
    step, state = make()
    lowered = jax.jit(scan_steps(step), donate_argnums=0).lower(state, KEY, {"x": jnp.zeros((1, 4, 3))})
    assert "donor" in lowered.as_text() or "aliasing" in lowered.as_text()


def test_the_newest_checkpoints_are_kept(tmp_path):
    step, state = make()
    schedule = loop.TrainSchedule(12, log_every=3, checkpoint_every=3, keep_last=2)
    loop.fit(step, state, Poisoned(bad=-1), KEY, schedule, tmp_path, report=lambda line: None)
    assert Checkpoints(tmp_path).steps() == [9, 12]


def test_some_checkpoints_are_kept_for_good(tmp_path):
    """The first at or after every multiple of keep_every; a resumed run keeps them too."""
    for num_steps in (14, 26):
        step, state = make()
        schedule = loop.TrainSchedule(num_steps, log_every=2, checkpoint_every=2, keep_last=2, keep_every=7)
        loop.fit(step, state, Poisoned(bad=-1), KEY, schedule, tmp_path, report=lambda line: None)
    assert Checkpoints(tmp_path).steps() == [8, 14, 22, 24, 26]


def test_a_run_on_a_full_disk_goes_on_and_says_so(tmp_path):
    """A limit on the size of files, below that of the state, stands for the disk: every later save fails."""
    optimizer = optax.sgd(0.1)
    step = train_step(square_loss, optimizer, lambda step: jnp.array(0.5))
    start = lambda: create({"w": jax.random.normal(KEY, (2**17,))}, optimizer)  # noqa: E731
    said = []

    class Filling(Poisoned):
        def __next__(self):
            if self.count == 3:  # between the first save, which is asynchronous, and the second
                for _ in range(3_000):
                    if (tmp_path / "checkpoints" / "2").exists():
                        break
                    time.sleep(0.01)
                resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, hard))
            return {"x": np.repeat(super().__next__()["x"][:, :1], 2**17, axis=1)}

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    schedule = loop.TrainSchedule(8, log_every=2, checkpoint_every=2, keep_last=1)
    try:
        state = loop.fit(step, start(), Filling(bad=-1), KEY, schedule, tmp_path, report=said.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert int(state.step) == 8
    assert sum("a checkpoint could not be written" in line for line in said) >= 3
    assert Checkpoints(tmp_path).restore(start()).step == 2, "the last good one is there, though one is kept only"


def test_checksums_see_swapped_and_changed_values():
    tree = {"a": jnp.arange(6.0), "b": jnp.ones(3, jnp.bfloat16), "c": jnp.array(3, jnp.int32), "d": jnp.ones(2, bool)}
    reference = np.asarray(checksums(tree))
    for name, value in (("a", jnp.arange(6.0)[::-1]), ("b", jnp.array([1, 1, 2], jnp.bfloat16)), ("c", jnp.array(4))):
        changed = np.asarray(checksums({**tree, name: value}))
        assert (changed != reference).sum() == 1


def test_half_life_and_constant():
    constant = {"w": jnp.array([0.1, 1 / 3])}
    for _ in range(100):
        moved = ema.update(constant, {"w": jnp.array([0.1, 1 / 3])}, jnp.array(0.9993))
        np.testing.assert_array_equal(moved["w"], constant["w"])
    beta = ema.decay(batch_size=10, halflife=1000, rampup_ratio=None)(jnp.array(0))
    assert float(beta) ** 100 == pytest.approx(0.5, rel=1e-5)


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        loop.TrainSchedule(0)
    with pytest.raises(ValueError, match="keep_every must be at least 0, got -1"):
        loop.TrainSchedule(1, keep_every=-1)
    with pytest.raises(ValueError, match="batch_size=3"):
        sharding.check_batch(3, jax.sharding.AbstractMesh((2,), ("data",)))
    with pytest.raises(ValueError, match="batch_size=0"):
        sharding.check_batch(0, sharding.data_mesh())
    with pytest.raises(ValueError, match="halflife"):
        ema.decay(1, 0.0)
    with pytest.raises(ValueError, match="keep_last"):
        Checkpoints(tmp_path, keep_last=0)


def test_tiny_run_learns(tmp_path):
    step, state, batches = tiny_run.build()
    schedule = loop.TrainSchedule(200, steps_per_dispatch=20, log_every=20, checkpoint_every=200)
    loop.fit(step, state, batches, KEY, schedule, tmp_path, report=lambda line: None)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.2 * losses[0]
    assert isinstance(batches, pipeline.grain.DatasetIterator)
