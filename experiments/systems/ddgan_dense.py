"""A denoising diffusion GAN of dense networks: for points, and for images of so few pixels that nothing else pays.

On 8x8 digits they train well in minutes on two CPU cores, where the paper's networks, shrunk, did not: see README,
"What has and has not been run". Larger images have `nets.ddgan`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness import devices
from experiments.harness.system import System
from experiments.systems import ddgan
from jaxdiff.nets.ddgan.discriminator import leaky_relu
from jaxdiff.nets.mlp import MLP
from jaxdiff.train.adversarial import Networks
from jaxdiff.types import Array, Key, Params


@dataclass(frozen=True)
class Dense(ddgan.DDGAN):
    """A denoising diffusion GAN of dense networks. Defaults were chosen on 8x8 digits; the rest is the paper's."""

    batch_size: int = 128
    """Examples a step, over all devices."""
    latent_dim: int = 16
    """Numbers in the latent; 0 for none."""
    learning_rate: float = 5e-4
    """Of the generator's Adam."""
    discriminator_rate: float = 1e-3
    """Of the discriminator's Adam."""
    decay: float = 0.995
    """Of the generator's average, a step."""
    steps_per_dispatch: int = 100
    """Steps in one compiled call; loops of dense layers are fast on every device."""
    log_every: int = 500
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 5_000
    """Steps between checkpoints."""
    gamma: float = 0.02
    """Weight of R1, the discriminator's squared gradient at real x_{t-1}."""
    width: int = 256
    """Hidden features of both networks."""
    depth: int = 3
    """Hidden layers of both networks."""


def assemble(config: Dense, shape: tuple[int, ...], activation: Callable[[Array], Array] = lambda x: x) -> System:
    """Build both networks and their chain.

    Args:
      shape: of an example, which the networks see flat; activation: of the generator's output, jnp.tanh for images.
    """
    # With SiLU the edges between modes stay blurred for longer.
    network = partial(MLP, width=config.width, depth=config.depth, activation=leaky_relu)
    generator, discriminator = (devices.computing(config, network(n)) for n in (int(np.prod(shape)), 1))

    def flat(x: Array) -> Array:
        return x.reshape(x.shape[0], -1)

    def generate(params: Params, x: Array, t: Array, latent: Array) -> Array:
        found = jnp.asarray(generator.apply(params, t.astype(x.dtype), flat(x), latent))
        return activation(found).reshape(x.shape)

    def discriminate(params: Params, x_prev: Array, x: Array, t: Array) -> Array:
        return jnp.asarray(discriminator.apply(params, t.astype(x.dtype), flat(x_prev), flat(x)))[:, 0]

    def init(key: Key) -> Networks:
        key_g, key_d = jax.random.split(key)
        x, t = flat(jnp.zeros((1, *shape))), jnp.zeros(1)
        latent = jnp.zeros((1, config.latent_dim))
        return Networks(generator.init(key_g, t, x, latent), discriminator.init(key_d, t, x, x))

    return ddgan.on_process(config, init, generate, discriminate, shape)
