"""A small network for points in a few dimensions."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.embeddings import positional
from jaxdiff.types import Array, Float


class MLP(nn.Module):
    """Dense layers on the concatenation of all inputs: an embedded time, points, a latent.

    Attributes:
      features: of the output.
      width, depth: of the hidden layers.
      emb_channels: numbers that a time is embedded in.
      activation: after each hidden layer. A function with kinks, such as LeakyReLU, draws sharp edges sooner.
      dtype: type of computation; parameters are float32.

    Call: net.apply(params, t [B], *inputs [B, d]) -> [B, features].
    Example:
      >>> import jax
      >>> net = MLP(features=2, width=8, depth=2)
      >>> x, t = jnp.zeros((3, 2)), jnp.zeros(3)
      >>> net.apply(net.init(jax.random.key(0), t, x), t, x).shape
      (3, 2)
    """

    features: int
    width: int = 128
    depth: int = 3
    emb_channels: int = 16
    activation: Callable[[Array], Array] = nn.silu
    dtype: Any = None

    @nn.compact
    def __call__(self, t: Float[Array, " B"], *inputs: Float[Array, "B d"]) -> Float[Array, "B features"]:
        h = jnp.concatenate([positional(t, self.emb_channels), *inputs], axis=-1)
        for _ in range(self.depth):
            h = self.activation(nn.Dense(self.width, dtype=self.dtype)(h))
        return nn.Dense(self.features, dtype=self.dtype)(h)
