"""The state of training, as one pytree: all that a step changes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdiff.types import Array, Params, PyTree


class TrainState(NamedTuple):
    """step: int32 [], the number of steps done; params and their moving average ema; opt_state of optax."""

    step: Array
    params: Params
    opt_state: PyTree
    ema: Params


def create(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """Create the state before the first step; the average starts at the parameters.

    Args:
      params: pytree of arrays.
      optimizer: of optax.
    Example:
      >>> int(create({"w": jnp.ones(2)}, optax.adam(1e-3)).step)
      0
    """
    ema = jax.tree.map(jnp.copy, params)  # a buffer of its own, since both are donated
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), ema)
