"""A denoising diffusion GAN of dense networks: for points, and for images of so few pixels that nothing else pays.

On 8x8 digits they train well in minutes on two CPU cores, where the paper's networks, shrunk, did not: see
docs/figures/limits.md. Larger images have `nets.ddgan`.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness import devices
from experiments.harness.system import System
from experiments.systems import ddgan
from jaxdiff.nets.ddgan.dense import DenseGenerator
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


def assemble(config: Dense, shape: tuple[int, ...], tanh: bool = False) -> System:
    """Build both networks and their chain.

    Args:
      shape: of an example, which the networks see flat; tanh: whether the generator's output is put into [-1, 1].
    """
    # With SiLU the edges between modes stay blurred for longer.
    options: dict[str, Any] = {"width": config.width, "depth": config.depth, "activation": leaky_relu}
    generator = devices.computing(config, DenseGenerator(int(np.prod(shape)), **options, tanh=tanh))
    discriminator = devices.computing(config, MLP(1, **options))

    def flat(x: Array) -> Array:
        return x.reshape(x.shape[0], -1)

    def discriminate(params: Params, x_prev: Array, x: Array, t: Array) -> Array:
        return jnp.asarray(discriminator.apply(params, t.astype(x.dtype), flat(x_prev), flat(x)))[:, 0]

    def init(key: Key) -> Networks:
        key_g, key_d = jax.random.split(key)
        x, t = jnp.zeros((1, *shape)), jnp.zeros(1)
        latent = jnp.zeros((1, config.latent_dim))
        return Networks(generator.init(key_g, x, t, latent), discriminator.init(key_d, t, flat(x), flat(x)))

    return ddgan.on_process(config, init, generator.apply, discriminate, shape, module=generator)
