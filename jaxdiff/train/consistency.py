"""Training beside other networks: a target that follows the trained one, a teacher that stands still."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from jaxdiff.train import ema, sharding
from jaxdiff.train.state import TrainState
from jaxdiff.train.step import Step, train_step
from jaxdiff.types import Array, Key, Params, PyTree


class ConsistencyState(NamedTuple):
    """As `TrainState`, and two networks: target, () where the trained one is its own; teacher, () where is none."""

    step: Array
    params: Params
    opt_state: PyTree
    ema: Params
    target: Params
    teacher: Params


BesideLoss = Callable[[Params, Params, Params, Array, Key, PyTree], Array]
"""loss(params, target, teacher, step, key, batch) -> one number per example, [B]."""


def consistency_step(
    loss_fn: BesideLoss,
    optimizer: optax.GradientTransformation,
    beta: Callable[[Array], Array],
    target_decay: Callable[[Array], Array] | None = None,
    rounds: int = 1,
) -> Step:
    """`train_step` of a loss that is also told the target, the teacher and the step, on which its schedules depend.

    target <- mu target + (1 - mu) params, after the update

    Args:
      loss_fn: per-example losses; no gradient goes to target or teacher.
      optimizer, beta: as for `train_step`.
      rounds: of accumulation, as for `train_step`.
      target_decay: mu as a function of the step, such as 0 or `target_decay(N(k))`; None where there is no target.
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
            target, teacher = sharding.gathered((state.target, state.teacher))
            return loss_fn(params, target, teacher, state.step, key, batch)

        moved, metrics = train_step(loss, optimizer, beta, rounds)(TrainState(*state[:4]), key, batch)
        target = state.target
        if target_decay is not None:
            target = ema.update(target, moved.params, target_decay(state.step))
        return ConsistencyState(moved.step, moved.params, moved.opt_state, moved.ema, target, state.teacher), metrics

    return step
