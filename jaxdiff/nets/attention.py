"""Attention among the positions of an image."""

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, Image


def attention(q: Array, k: Array, v: Array) -> Array:
    """Return softmax(q k^T / sqrt(C)) v, the softmax over positions.

    Args:
      q, k, v: [B, N, heads, C].
    Returns: [B, N, heads, C] in the type of q; the softmax is taken in float32 or better.
    Reference: Vaswani et al. 2017, Eq. 1.
    Example:
      >>> q, v = jnp.zeros((1, 2, 1, 1)), jnp.array([1.0, 3.0]).reshape(1, 2, 1, 1)
      >>> attention(q, q, v).ravel().tolist()  # equal logits: the mean
      [2.0, 2.0]
    """
    if q.dtype == jnp.float64:  # the library's function takes the softmax in float32
        logits = jnp.einsum("bqhc,bkhc->bhqk", q, k) / q.shape[-1] ** 0.5
        return jnp.einsum("bhqk,bkhc->bqhc", jax.nn.softmax(logits), v)
    return jax.nn.dot_product_attention(q, k, v)


def self_attention(qkv: Image, num_heads: int) -> Image:
    """Attend among the positions of an image: `attention` of queries, keys and values that lie in one array.

    Args:
      qkv: [B, H, W, 3C]; published weights order the channels as (head, channel, q|k|v).
      num_heads: divides C.
    Returns: [B, H, W, C].
    Reference: Song et al. 2021, Appendix H, with EDM's order of the channels.
    Example:
      >>> self_attention(jnp.zeros((2, 4, 4, 24)), num_heads=2).shape
      (2, 4, 4, 8)
    """
    batch, height, width, channels = qkv.shape
    split = qkv.reshape(batch, height * width, num_heads, channels // (3 * num_heads), 3)
    return attention(split[..., 0], split[..., 1], split[..., 2]).reshape(batch, height, width, channels // 3)
