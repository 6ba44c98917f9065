"""ADM's classifier of noisy images: the encoder of its U-Net, and a pool."""

from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_choices, check_image
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.unet.openai_block import ZERO, dense, norm32, split_attention
from jaxdiff.nets.unet.openai_encoder import check_attributes, encode, time_embedding
from jaxdiff.types import Array, Image

Pool = Literal["adaptive", "attention", "spatial", "spatial_v2"]
HIDDEN = 2048
"""Width of the hidden layer of the spatial pools."""


class GuidedClassifier(nn.Module):
    """Logits [B, out_channels] of a noisy image x_t at step t.

    Attributes: as `GuidedUNet`; out_channels is the number of classes.
      pool: "attention" (ADM's), or "adaptive", the mean over positions; "spatial" and "spatial_v2" take the mean over
        positions of what every block of the encoder returns through a hidden layer, with ReLU, or with norm and SiLU.
    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B]) -> [B, out_channels].
    Raises: ValueError as `GuidedUNet`.
    Reference: Dhariwal & Nichol 2021, section 4.3 and Appendix I; the spatial pools are the authors' code's, which no
      published model uses.
    Example:
      >>> import jax
      >>> net, x = GuidedClassifier(8, 1, 10, 64, channel_mult=(1, 2), num_blocks=1), jnp.zeros((2, 8, 8, 1))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, jnp.zeros(2))[0].shape
      (2, 10)
    """

    img_resolution: int
    in_channels: int
    out_channels: int
    model_channels: int = 128
    channel_mult: Sequence[float] = (1, 2, 3, 4)
    stem_channels: int | None = None
    num_blocks: int = 4
    attn_resolutions: Sequence[int] = (32, 16, 8)
    num_heads: int = 1
    head_channels: int | None = 64
    new_attention_order: bool = False
    adaptive_scale: bool = True
    conv_resample: bool = True
    resblock_updown: bool = True
    pool: Pool = "attention"
    dropout: float = 0.0
    dtype: Any = None
    remat: bool = False

    @nn.compact
    def __call__(self, x: Image, noise_labels: Array, train: bool = False) -> Array:
        check_attributes(self)
        check_choices(self)
        check_image(self, x, noise_labels)
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        emb = time_embedding(self, noise_labels, out_type)
        x, skips = encode(self, x if self.dtype is None else x.astype(self.dtype), emb, train)
        if self.pool.startswith("spatial"):
            return self.of_means([*skips, x]).astype(out_type)
        x = nn.silu(norm32("out_0", self.dtype)(x))
        if self.pool == "adaptive":
            x = jnp.mean(x, axis=(1, 2), keepdims=True)
            logits = Conv(self.out_channels, 1, kernel_init=ZERO, dtype=self.dtype, name="out_3")(x)[:, 0, 0]
        else:
            head = self.head_channels or x.shape[-1] // self.num_heads
            logits = AttentionPool(self.out_channels, head, self.dtype, name="out_2")(x)
        return logits.astype(out_type)

    def of_means(self, blocks: Sequence[Image]) -> Array:
        """Compute logits from the mean over positions of each block's output; `__call__` calls it."""
        means = jnp.concatenate([jnp.mean(block, axis=(1, 2)) for block in blocks], axis=-1)
        hidden = dense(HIDDEN, means.shape[-1], "out_0", self.dtype)(means)
        if self.pool == "spatial":
            return dense(self.out_channels, HIDDEN, "out_2", self.dtype)(nn.relu(hidden))
        return dense(self.out_channels, HIDDEN, "out_3", self.dtype)(nn.silu(norm32("out_1", self.dtype)(hidden)))


class AttentionPool(nn.Module):
    """Attention over the mean and all positions, with learned positions; what the mean receives, projected.

    Reference: Radford et al. 2021 (CLIP), section 2.4, as ADM uses it.
    Attributes:
      features: of the result.
      head_channels: width of a head; divides C.
      dtype: type of computation; parameters are float32.
    Call: pool.apply(params, x [B, H, W, C]) -> [B, features].
    Example:
      >>> import jax
      >>> pool, key = AttentionPool(10, head_channels=4), jax.random.key(0)
      >>> jax.eval_shape(pool.init_with_output, key, jnp.zeros((2, 4, 4, 8)))[0].shape
      (2, 10)
    """

    features: int
    head_channels: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image) -> Array:
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height * width, channels)
        x = jnp.concatenate([jnp.mean(x, axis=1, keepdims=True), x], axis=1)
        init = nn.initializers.normal(channels**-0.5)
        # Kept as published: [channels, positions].
        places = self.param("positional_embedding", init, (channels, height * width + 1))
        x = x + places.T[None].astype(x.dtype)
        qkv = dense(3 * channels, channels, "qkv_proj", self.dtype)(x)
        x = split_attention(qkv, channels // self.head_channels, new_order=True)
        return dense(self.features, channels, "c_proj", self.dtype)(x)[:, 0]
