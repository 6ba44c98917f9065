"""Training whose steps t are drawn where the loss's second moment is large, estimated from the last losses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdiff.timesteps import steps
from jaxdiff.timesteps.steps import LossHistory
from jaxdiff.train import fully_sharded
from jaxdiff.train.state import TrainState
from jaxdiff.train.step import Step, apply_gradients, part_size, where_finite
from jaxdiff.types import Array, Key, Params, PyTree


class LossAwareState(NamedTuple):
    """A `TrainState` with the last losses of every step t = 0 .. T-1."""

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
    """Build a `train_step` whose steps t are drawn by `steps.importance_probabilities`.

    minimises mean of weight(t) loss(t), weight(t) = 1 / (T p(t)), p(t) ~ sqrt(E loss(t)^2), which stays unbiased

    With rounds of accumulation the history learns of each part before the steps of the next are drawn.

    Args:
      loss_fn: losses per example, not weighted.
      optimizer, beta, rounds: as for `train_step`.
    Returns: step(state, key, batch) -> (state, metrics), pure, for a `LossAwareState`.
    Reference: Nichol & Dhariwal 2021, section 3.3, for L_vlb.
    Example: the loss of step 1 is three times that of step 0, and a long history draws it three times as often
      >>> from jaxdiff.train.state import create
      >>> sgd = optax.sgd(0.0)
      >>> loss = lambda w, key, x, t: w + x * (1.0 + 2 * t)
      >>> step = jax.jit(loss_aware_step(loss, sgd, lambda step: jnp.array(0.0)))
      >>> state = LossAwareState(*create(jnp.array(0.0), sgd), history=steps.empty_history(2, history=4))
      >>> state, metrics = step(state, jax.random.key(0), jnp.ones(64))
      >>> [round(float(p), 3) for p in steps.importance_probabilities(state.history, uniform_prob=0.0)]
      [0.25, 0.75]
    """

    def step(state: LossAwareState, key: Key, batch: PyTree) -> tuple[LossAwareState, dict[str, Array]]:
        def of_part(history: LossHistory, part: tuple[Key, PyTree]) -> tuple[LossHistory, tuple[Array, Params]]:
            key, examples = part
            key_t, key_loss = jax.random.split(key)
            uniform = jax.random.uniform(key_t, jax.tree.leaves(examples)[0].shape[:1])
            t, weight = steps.importance_steps(uniform, steps.importance_probabilities(history))

            def mean_loss(params: Params) -> tuple[Array, Array]:
                losses = loss_fn(fully_sharded.all_gather(params), key_loss, examples, t)
                return jnp.mean(weight * losses), losses

            (loss, losses), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
            return steps.update_history(history, t, losses), (loss, grads)

        key = jax.random.fold_in(key, state.step)
        if rounds == 1:  # XLA's CPU backend is slow inside loops
            history, found = of_part(state.history, (key, batch))
        else:
            parts = optax.microbatching.reshape_batch_axis(batch, part_size(batch, rounds))
            parts = jax.random.split(key, rounds), parts
            history, stacked = jax.lax.scan(of_part, state.history, parts)
            found = jax.tree.map(lambda a: jnp.mean(a, axis=0), stacked)
        after, metrics = apply_gradients(TrainState(*state[:4]), *found, optimizer, beta)
        return LossAwareState(*after, where_finite(metrics, history, state.history)), metrics

    return step
