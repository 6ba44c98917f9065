"""The smallest system that trains: a mean fitted by least squares, and batches that turn bad on request."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdiff.train.state import create
from jaxdiff.train.step import train_step

KEY = jax.random.key(0)


def square_loss(params, key, batch):
    return jnp.mean((batch["x"] - params["w"][None]) ** 2, axis=1)


def make(loss=square_loss, **kwargs):
    """(step, state) of gradient descent with an average."""
    optimizer = optax.sgd(0.1)
    step = train_step(loss, optimizer, lambda step: jnp.array(0.5), **kwargs)
    return step, create({"w": jnp.zeros(3)}, optimizer)


class Poisoned:
    """Good batches, then one with a NaN, number `bad`; -1 for none."""

    def __init__(self, bad=-1):
        self.bad, self.count = bad, 0

    def __next__(self):
        self.count += 1
        return {"x": np.full((4, 3), np.nan if self.count == self.bad else 1.0, np.float32)}

    def get_state(self):
        return self.count

    def set_state(self, state):
        self.count = state
