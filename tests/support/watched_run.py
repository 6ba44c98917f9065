"""A small system trained and looked at: python -m tests.support.watched_run WORKDIR FSDP [PORT NUM ID].

With PORT it is process ID of NUM on this machine.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness import experiment, generate, training
from experiments.harness.system import System
from jaxdiff import precond
from jaxdiff.data.pipeline import ArraySource
from jaxdiff.losses import edm_loss
from jaxdiff.timesteps import lognormal_sigma
from jaxdiff.train import hosts, sharding

CONFIG = training.Training(
    num_samples=80,
    steps=6,
    batch_size=24,
    log_every=2,
    checkpoint_every=3,
    num_steps=3,
    grid_every=2,
    steps_per_dispatch=1,
)


def system(classes=10):
    """EDM on 4x4 images, with a network of two layers that are large enough to be cut."""
    row = precond.edm()

    def apply(params, x, c_noise, class_labels=None):
        h = x.reshape(len(x), -1) @ params["a"] + jnp.asarray(c_noise).reshape(-1, 1)
        h = h if class_labels is None else h + class_labels @ params["label"]
        return (jnp.tanh(h) @ params["b"]).reshape(x.shape)

    def init(key):
        sizes = {"a": (16, 64), "b": (64, 16), "label": (10, 64)}
        keys = jax.random.split(key, 3)
        return {name: 0.2 * jax.random.normal(k, size) for k, (name, size) in zip(keys, sizes.items(), strict=True)}

    def denoiser(params, labels):
        given = {} if labels is None else {"class_labels": jax.nn.one_hot(labels, 10)}
        return precond.denoiser(apply, params, row, **given)

    def loss(params, key, batch):
        x0 = batch["image"]
        sigma = lognormal_sigma(jax.random.normal(key, x0.shape[:1]), -1.2, 1.2)
        noise = jax.random.normal(key, x0.shape)
        return edm_loss(denoiser(params, batch["label"] if classes else None), x0, sigma, noise, sigma_data=0.5)

    return System(init, loss, denoiser, row, partial(generate.edm_sampling, row), (4, 4, 1), classes)


def source():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (64, 4, 4, 1)).astype(np.float32)
    return ArraySource(image=image, label=np.arange(64, dtype=np.int32) % 10)


def train(config, classes=10):
    return training.train(config, system(classes), source(), training.check(config))


def main(workdir, fsdp, port=None, num=1, host=0):
    if port:
        hosts.initialize(f"localhost:{port}", int(num), int(host))
    config = replace(CONFIG, workdir=Path(workdir), fsdp=int(fsdp))
    params = sharding.to_host(train(config).ema)
    if hosts.is_primary():  # as at the end of an experiment: by itself
        experiment.sample(config, system(), system().sampling(config.num_steps), params, config.workdir)
    hosts.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
