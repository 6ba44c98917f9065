"""A small training run as a process of its own, killed on request: python -m tests.support.tiny_run WORKDIR [MOMENT].

MOMENT is `data:N` or `save:N`: the process dies while it waits for batch N (a step is then in flight), or while
the save of step N is being written; `term:N` sends SIGTERM instead, at batch N.
"""

import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdiff.data import pipeline
from jaxdiff.train import ema, loop
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step

STEPS, BATCH, EVERY = 24, 8, 5


def build():
    """(step, state, batches): a two-layer network on fixed data, with noise from the key."""
    rng = np.random.default_rng(0)
    source = pipeline.ArraySource(x=rng.normal(size=(50, 4)).astype(np.float32))

    def loss(params, key, batch):
        noise = jax.random.normal(key, batch["x"].shape)
        h = jnp.tanh((batch["x"] + 0.1 * noise) @ params["a"])
        return jnp.mean((h @ params["b"] - batch["x"]) ** 2, axis=1)

    params = {
        "a": jnp.asarray(rng.normal(size=(4, 16)), jnp.float32),
        "b": jnp.asarray(rng.normal(size=(16, 4)), jnp.float32),
    }
    optimizer = optax.adam(1e-2)
    step = train_step(loss, optimizer, ema.decay(BATCH, 100, 0.05))
    return step, create(params, optimizer), pipeline.batches(source, BATCH, seed=0)


class Dying:
    """An iterator that ends the process at a batch."""

    def __init__(self, batches, at, number):
        self.batches, self.at, self.number, self.count = batches, at, number, 0

    def __next__(self):
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), self.number)
        return next(self.batches)

    def get_state(self):
        return {"inner": self.batches.get_state(), "count": self.count}

    def set_state(self, state):
        self.batches.set_state(state["inner"])
        self.count = state["count"]


def main(workdir, moment="never:0"):
    """Train to the end, or to the moment, and leave the final state in final.npz."""
    kind, at = moment.split(":")
    step, state, batches = build()
    number = signal.SIGTERM if kind == "term" else signal.SIGKILL
    batches = Dying(batches, int(at) if kind in ("data", "term") else -1, number)
    if kind == "save":
        save = Checkpoints.save

        def save_and_die(self, done, state, extra):
            save(self, done, state, extra)
            if done == int(at):
                os.kill(os.getpid(), signal.SIGKILL)

        Checkpoints.save = save_and_die
    schedule = loop.TrainSchedule(STEPS, steps_per_dispatch=3, log_every=4, checkpoint_every=EVERY, keep_last=2)
    state = loop.fit(step, state, batches, jax.random.key(7), schedule, Path(workdir), {"tiny": True}, report=print)
    if int(state.step) == STEPS:
        leaves = jax.tree.leaves(state)
        np.savez(Path(workdir) / "final.npz", *[np.asarray(leaf) for leaf in leaves])


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    main(*sys.argv[1:])
