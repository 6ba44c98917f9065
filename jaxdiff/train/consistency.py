"""Training against a target network, which follows the trained one, and a teacher, which is fixed."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from jaxdiff.train import ema, fully_sharded
from jaxdiff.train.state import TrainState
from jaxdiff.train.step import Step, train_step
from jaxdiff.types import Array, Key, Params, PyTree


class ConsistencyState(NamedTuple):
    """A `TrainState` with the parameters of two more networks: target, () where the loss needs none, and teacher."""

    step: Array
    params: Params
    opt_state: PyTree
    ema: Params
    target: Params
    teacher: Params


ConsistencyLoss = Callable[[Params, Params, Params, Array, Key, PyTree], Array]
"""loss(params, target, teacher, step, key, batch) -> one number per example, [B]."""


def consistency_step(
    loss_fn: ConsistencyLoss,
    optimizer: optax.GradientTransformation,
    beta: Callable[[Array], Array],
    target_decay: Callable[[Array], Array] | None = None,
    rounds: int = 1,
) -> Step:
    """Build a `train_step` whose loss also takes the target, the teacher and the step, on which its schedules depend.

    target <- mu target + (1 - mu) params, after the update

    Args:
      loss_fn: per-example losses; no gradient goes to target or teacher.
      optimizer, beta: as for `train_step`.
      target_decay: mu as a function of the step, such as 0 or `target_decay(N(k))`; None where there is no target.
      rounds: of accumulation, as for `train_step`.
    Returns: step(state, key, batch) -> (state, metrics), pure, for a `ConsistencyState`.
    Reference: Song et al. 2023, Alg. 2 and 3.
    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxdiff.train.state import create
      >>> sgd = optax.sgd(0.5)
      >>> loss = lambda w, target, teacher, step, key, x: (w - target - x) ** 2
      >>> step = consistency_step(loss, sgd, lambda step: jnp.array(0.0), lambda step: jnp.array(0.5))
      >>> state = ConsistencyState(*create(jnp.array(0.0), sgd), target=jnp.array(0.0), teacher=())
      >>> state, _ = step(state, jax.random.key(0), jnp.ones(4))
      >>> state.params.item(), state.target.item()
      (1.0, 0.5)
    """

    def step(state: ConsistencyState, key: Key, batch: PyTree) -> tuple[ConsistencyState, dict[str, Array]]:
        def loss(params: Params, key: Key, batch: PyTree) -> Array:
            target, teacher = fully_sharded.all_gather((state.target, state.teacher))
            return loss_fn(params, target, teacher, state.step, key, batch)

        after, metrics = train_step(loss, optimizer, beta, rounds)(TrainState(*state[:4]), key, batch)
        target = state.target
        if target_decay is not None:
            target = ema.update(target, after.params, target_decay(state.step))
        return ConsistencyState(after.step, after.params, after.opt_state, after.ema, target, state.teacher), metrics

    return step
