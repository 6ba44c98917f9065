"""The step and the loop: what they compute, how often they compile, when they stop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.data import pipeline
from jaxdiff.train import ema, loop, sharding
from jaxdiff.train.checkpoint import Checkpoints, checksums
from jaxdiff.train.state import create
from jaxdiff.train.step import many_steps, train_step
from tests.train import tiny_run

KEY = jax.random.key(0)


def square_loss(params, key, batch):
    return jnp.mean((batch["x"] - params["w"][None]) ** 2, axis=1)


def make(loss=square_loss, **kwargs):
    optimizer = optax.sgd(0.1)
    step = train_step(loss, optimizer, lambda step: jnp.array(0.5), **kwargs)
    return step, create({"w": jnp.zeros(3)}, optimizer)


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


def test_many_steps_are_single_steps_in_a_row():
    step, state = make(lambda params, key, batch: square_loss(params, key, batch) * jax.random.uniform(key))
    batches = jax.random.normal(KEY, (3, 4, 3))
    together, metrics = jax.jit(many_steps(step))(state, KEY, {"x": batches})
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


class Poisoned:
    """Good batches, then one with a NaN."""

    def __init__(self, bad):
        self.bad, self.count = bad, 0

    def __next__(self):
        self.count += 1
        return {"x": np.full((4, 3), np.nan if self.count == self.bad else 1.0, np.float32)}

    def get_state(self):
        return self.count

    def set_state(self, state):
        self.count = state


def test_training_stops_on_a_loss_that_is_not_finite(tmp_path):
    step, state = make()
    budget = loop.Budget(20, steps_per_dispatch=2, log_every=4, checkpoint_every=4)
    with pytest.raises(loop.TrainingDiverged, match=r"loss=nan.* at step 9; .*checkpoint is step 8.*learning rate"):
        loop.fit(step, state, Poisoned(bad=10), KEY, budget, tmp_path, report=lambda line: None)
    restored = Checkpoints(tmp_path).restore(state)
    assert restored.step == 8
    assert np.all(np.isfinite(restored.state.params["w"]))


def test_the_loop_compiles_once_and_never_waits_for_the_device(tmp_path):
    """All transfers are asked for: an implicit one, such as float(loss), would raise."""
    traces = []

    def loss(params, key, batch):
        traces.append(1)
        return square_loss(params, key, batch)

    step, state = make(loss)
    budget = loop.Budget(12, steps_per_dispatch=3, log_every=6, checkpoint_every=6)
    with jax.transfer_guard_device_to_host("disallow"):
        state = loop.fit(step, state, Poisoned(bad=-1), KEY, budget, tmp_path, report=lambda line: None)
    assert int(state.step) == 12
    assert len(traces) == 1


def test_donation_is_taken():
    step, state = make()
    lowered = jax.jit(many_steps(step), donate_argnums=0).lower(state, KEY, {"x": jnp.zeros((1, 4, 3))})
    assert "donor" in lowered.as_text() or "aliasing" in lowered.as_text()


def test_the_newest_checkpoints_are_kept(tmp_path):
    step, state = make()
    budget = loop.Budget(12, log_every=3, checkpoint_every=3, keep_last=2)
    loop.fit(step, state, Poisoned(bad=-1), KEY, budget, tmp_path, report=lambda line: None)
    assert Checkpoints(tmp_path).steps() == [9, 12]


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
        loop.Budget(0)
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
    budget = loop.Budget(200, steps_per_dispatch=20, log_every=20, checkpoint_every=200)
    loop.fit(step, state, batches, KEY, budget, tmp_path, report=lambda line: None)
    losses = [
        line["loss"] for line in map(__import__("json").loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    ]
    assert losses[-1] < 0.2 * losses[0]
    assert isinstance(batches, pipeline.grain.DatasetIterator)
