"""Steps drawn by the losses so far: in which order the history learns, and what is not finite."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.timesteps import steps
from jaxdiff.train.loss_aware import LossAwareState, loss_aware_step
from jaxdiff.train.state import create

LOSSES = jnp.array([1.0, 999.0])
"""Of the two steps of a chain; drawn in proportion, one in a thousand is step 0."""


def began(history=1, rate=0.0):
    """(state of one weight, optimizer)."""
    optimizer = optax.sgd(rate)
    return LossAwareState(*create(jnp.array(0.0), optimizer), steps.empty_history(2, history)), optimizer


def stepping(optimizer, rounds=1, factor=1.0):
    """(step, the steps t of the chain that its parts were given)."""
    given = []

    def loss(w, key, x, t):
        jax.debug.callback(lambda t: given.append(np.asarray(t)), t, ordered=True)
        return factor * LOSSES[t] + w * x

    return jax.jit(loss_aware_step(loss, optimizer, lambda step: jnp.array(0.0), rounds)), given


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_part_is_drawn_by_what_the_parts_before_it_lost(rounds):
    """The first is drawn uniformly, as nothing is known; the others in proportion to the losses."""
    state, optimizer = began()
    step, given = stepping(optimizer, rounds)
    state, metrics = step(state, jax.random.key(0), jnp.ones(256))
    jax.effects_barrier()
    assert [t.shape for t in given] == [(256 // rounds,)] * rounds
    zeros = [np.mean(t == 0) for t in given]
    assert abs(zeros[0] - 0.5) < 5 * 0.5 / np.sqrt(256 / rounds)
    assert all(share < 0.1 for share in zeros[1:])
    np.testing.assert_array_equal(state.history.losses[:, 0], LOSSES)
    # Weighted by 1 / (2 p), every loss of a part that is drawn in proportion is the mean over steps, 500.
    first, rest = float(LOSSES[given[0]].mean()), [500.0] * (rounds - 1)
    np.testing.assert_allclose(metrics["loss"], np.mean([first, *rest]), rtol=2e-2)


def test_gradients_are_weighted():
    """d/dw of mean(weight x) is the mean weight, which is 1 before anything is known."""
    state, optimizer = began(rate=1.0)
    step, _ = stepping(optimizer)
    state, _ = step(state, jax.random.key(0), jnp.full(8, 3.0))
    assert float(state.params) == -3.0


def test_what_is_not_finite_changes_no_history():
    state, optimizer = began()
    step, _ = stepping(optimizer, factor=jnp.nan)
    after, metrics = step(state, jax.random.key(0), jnp.ones(8))
    assert not np.isfinite(metrics["loss"])
    assert int(after.step) == 1
    chex.assert_trees_all_equal(after[1:], state[1:])
