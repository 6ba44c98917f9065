"""A generator of dense layers: for points, and for images of so few pixels that nothing else pays."""

import jax.numpy as jnp

from jaxdiff.nets.mlp import MLP
from jaxdiff.types import Array, Batch, Float


class DenseGenerator(MLP):
    """An `MLP` that sees an example of any shape flat, with the step and a latent, and returns one of that shape.

    Attributes:
      features: numbers of an example.
      width, depth, emb_channels, activation, dtype: as `MLP`.
      tanh: whether the output is put into [-1, 1], as images are.

    Call: net.apply(params, x [B, ...], t [B], latent [B, latent_dim]) -> [B, ...]; parameters are those of the MLP.
    Example:
      >>> import jax
      >>> net, x = DenseGenerator(features=4, width=8, depth=2), jnp.zeros((3, 2, 2))
      >>> inputs = x, jnp.zeros(3), jnp.zeros((3, 5))
      >>> net.apply(net.init(jax.random.key(0), *inputs), *inputs).shape
      (3, 2, 2)
    """

    tanh: bool = False

    def __call__(  # type: ignore[override]
        self, x: Batch, t: Array, latent: Float[Array, "B d"]
    ) -> Batch:
        if x[0].size != self.features:
            raise ValueError(f"an example must have {self.features} numbers for this network, got {list(x.shape[1:])}")
        out = super().__call__(t.astype(x.dtype), x.reshape(x.shape[0], -1), latent)
        return (jnp.tanh(out) if self.tanh else out).reshape(x.shape)
