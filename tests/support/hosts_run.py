"""Small runs over all devices of one or more processes: python -m tests.support.hosts_run RUNS [PORT NUM ID].

RUNS is JSON, [[workdir, fsdp, stop], ...]: this process gets SIGTERM at batch `stop`, -1 for never. With PORT it is
process ID of NUM on this machine, and the signal is SIGUSR1, which is passed on as SIGTERM. Each run leaves its losses
in metrics.jsonl and ends with a line of JSON.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdiff.train import ema, fully_sharded, hosts, loop, sharding
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step

STEPS, BATCH, WIDTH = 12, 16, 64


class Batches:
    """This process's rows of every batch, a function of its number; a signal at one of them."""

    def __init__(self, host=0, num_hosts=1, stop_at=-1):
        self.rows = slice(host * BATCH // num_hosts, (host + 1) * BATCH // num_hosts)
        self.count, self.stop_at = 0, stop_at
        self.number = signal.SIGTERM if num_hosts == 1 else signal.SIGUSR1

    def __next__(self):
        x = np.random.default_rng(self.count).normal(size=(BATCH, 4)).astype(np.float32)
        self.count += 1
        if self.count == self.stop_at:
            os.kill(os.getpid(), self.number)
        if 0 < self.stop_at <= self.count:
            time.sleep(1)  # a batch, as real ones take their time: the notice has to reach the other process
        return {"x": x[self.rows]}

    def get_state(self):
        return self.count

    def set_state(self, state):
        self.count = state


def build(rounds=1):
    """(step, create): three layers, the middle one large enough to be cut."""

    def loss(params, key, batch):
        h = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
        for name in ("a", "b", "c"):
            h = jnp.tanh(h @ params[name])
        return jnp.mean((h - batch["x"]) ** 2, axis=1)

    def init(key):
        keys = jax.random.split(key, 3)
        sizes = {"a": (4, WIDTH), "b": (WIDTH, WIDTH), "c": (WIDTH, 4)}
        return {name: 0.2 * jax.random.normal(k, size) for k, (name, size) in zip(keys, sizes.items(), strict=True)}

    optimizer = optax.adam(1e-2)
    step = train_step(loss, optimizer, ema.decay(BATCH, 100, 0.05), rounds)
    return step, lambda key: create(init(key), optimizer)


def run(workdir, fsdp, stop=-1):
    """Train to the end, or to the signal."""
    step, make = build()
    state = fully_sharded.init_sharded(sharding.data_mesh(fsdp), make, jax.random.key(0))
    batches = Batches(jax.process_index(), jax.process_count(), stop)
    schedule = loop.TrainSchedule(STEPS, steps_per_dispatch=2, log_every=2, checkpoint_every=6)
    state = loop.fit(step, state, batches, jax.random.key(7), schedule, Path(workdir), {}, print, fsdp)
    shards = {name: leaf.addressable_shards[0].data.shape for name, leaf in state.params.items()}
    print(json.dumps({"devices": jax.device_count(), "step": int(state.step), "shards": shards}))
    hosts.barrier()


def main(runs, port=None, num=1, host=0):
    if port:
        hosts.initialize(f"localhost:{port}", int(num), int(host))
    for arguments in json.loads(runs):
        run(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
