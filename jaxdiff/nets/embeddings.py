"""Embeddings of a noise label."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.types import Array, Float, as_floating


def positional(
    t: Float[Array, " B"],
    channels: int,
    max_period: float = 10_000.0,
    end_point: bool = True,
    cosine_first: bool = False,
) -> Float[Array, "B C"]:
    """Embed labels as [sin(w_k t), cos(w_k t)] with w_k = max_period^(-k / (C/2 - 1)), k = 0 .. C/2 - 1.

    Args:
      t: labels [B], on the scale of a step count.
      channels: C, >= 4; where it is odd, the last is 0.
      max_period: the longest, 2 pi times this.
      end_point: whether the last frequency is 1 / max_period (DDPM++); ADM divides by C/2.
      cosine_first: the order of the halves in ADM.
    Returns: [B, C].
    Reference: Vaswani et al. 2017, 3.5; Song et al. 2021 and Dhariwal & Nichol 2021 for the two conventions.
    Example:
      >>> positional(jnp.zeros(1), 4).tolist()
      [[0.0, 0.0, 1.0, 1.0]]
    """
    t = as_floating(t)
    k = jnp.arange(channels // 2, dtype=t.dtype) / (channels // 2 - end_point)
    angle = t[:, None] * (max_period**-k)[None]
    halves = [jnp.sin(angle), jnp.cos(angle)]
    emb = jnp.concatenate(halves[::-1] if cosine_first else halves, axis=1)
    return jnp.pad(emb, [(0, 0), (0, channels % 2)])


class Fourier(nn.Module):
    """NCSN++'s embedding [sin(2 pi w t), cos(2 pi w t)], with w ~ N(0, scale^2) drawn once and never trained.

    Attributes:
      channels: of the result.
      scale: standard deviation of the frequencies.
    Call: embed.apply(params, t [B]) -> [B, channels].
    Reference: Tancik et al. 2020; scale 16 as in NCSN++ (Song et al. 2021).
    Example:
      >>> Fourier(4).init_with_output(jax.random.key(0), jnp.zeros(1))[0][:, 2:].tolist()
      [[1.0, 1.0]]
    """

    channels: int
    scale: float = 16.0

    @nn.compact
    def __call__(self, t: Float[Array, " B"]) -> Float[Array, "B C"]:
        freqs = self.param("freqs", nn.initializers.normal(self.scale), (self.channels // 2,), jnp.float32)
        # A parameter, so that params is the only collection, but a constant for the optimiser.
        angle = 2 * jnp.pi * t[:, None] * jax.lax.stop_gradient(freqs).astype(t.dtype)[None]
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)
