"""Training whose steps t are drawn where the loss's second moment is large, as the losses so far say."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdiff.losses import importance
from jaxdiff.losses.importance import LossHistory
from jaxdiff.train import sharding
from jaxdiff.train.state import TrainState
from jaxdiff.train.step import Step, if_finite, moved, parts_of
from jaxdiff.types import Array, Key, Params, PyTree


class LossAwareState(NamedTuple):
    """As `TrainState`, and the last losses of every step of the chain."""

    step: Array
    params: Params
    opt_state: PyTree
    ema: Params
    history: LossHistory


LossOfSteps = Callable[[Params, Key, PyTree, Array], Array]
"""loss(params, key, batch, t) -> one number per example, [B], at the steps t [B]."""


def loss_aware_step(
    loss_fn: LossOfSteps, optimizer: optax.GradientTransformation, beta: Callable[[Array], Array], rounds: int = 1
) -> Step:
    """`train_step` of a loss at steps that are drawn by `importance.weights`, and weighted so that it stays unbiased.

    With rounds of accumulation the history learns of each part before the steps of the next are drawn.

    Args:
      loss_fn: per-example losses, not weighted.
      optimizer, beta, rounds: as for `train_step`.
    Returns: step(state, key, batch) -> (state, metrics), pure, for a `LossAwareState`.
    Reference: Nichol & Dhariwal 2021, section 3.3, for L_vlb.
    Example: the loss of step 1 is three times that of step 0, and a long history draws it three times as often
      >>> from jaxdiff.train.state import create
      >>> sgd = optax.sgd(0.0)
      >>> loss = lambda w, key, x, t: w + x * (1.0 + 2 * t)
      >>> step = jax.jit(loss_aware_step(loss, sgd, lambda step: jnp.array(0.0)))
      >>> state = LossAwareState(*create(jnp.array(0.0), sgd), history=importance.empty_history(2, history=4))
      >>> state, metrics = step(state, jax.random.key(0), jnp.ones(64))
      >>> [round(float(p), 3) for p in importance.weights(state.history, uniform_prob=0.0)]
      [0.25, 0.75]
    """

    def step(state: LossAwareState, key: Key, batch: PyTree) -> tuple[LossAwareState, dict[str, Array]]:
        def of_part(history: LossHistory, part: tuple[Key, PyTree]) -> tuple[LossHistory, tuple[Array, Params]]:
            key, examples = part
            key_t, key_loss = jax.random.split(key)
            uniform = jax.random.uniform(key_t, jax.tree.leaves(examples)[0].shape[:1])
            t, weight = importance.draw_steps(uniform, importance.weights(history))

            def mean_loss(params: Params) -> tuple[Array, Array]:
                losses = loss_fn(sharding.gathered(params), key_loss, examples, t)
                return jnp.mean(weight * losses), losses

            (loss, losses), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
            return importance.update(history, t, losses), (loss, grads)

        key = jax.random.fold_in(key, state.step)
        if rounds == 1:  # XLA's CPU backend is slow inside loops
            history, found = of_part(state.history, (key, batch))
        else:
            parts = jax.random.split(key, rounds), parts_of(batch, rounds)
            history, stacked = jax.lax.scan(of_part, state.history, parts)
            found = jax.tree.map(lambda a: jnp.mean(a, axis=0), stacked)
        after, metrics = moved(TrainState(*state[:4]), *found, optimizer, beta)
        return LossAwareState(*after, if_finite(metrics, history, state.history)), metrics

    return step
