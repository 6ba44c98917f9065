"""The U-Net of improved DDPM and guided diffusion, in all their options, with the names of the published weights."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.checks import check_image, check_labels
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.unet.openai_block import ZERO, Upsample, norm32
from jaxdiff.nets.unet.openai_encoder import attention_block, check_attributes, encode, residual_block, time_embedding
from jaxdiff.types import Array, Image


class GuidedUNet(nn.Module):
    """F(x, noise_labels), the network of Nichol & Dhariwal 2021 and of ADM (Dhariwal & Nichol 2021).

    `DhariwalUNet` is EDM's variant of it, with other groups, names and initialisation.

    Attributes:
      img_resolution: height and width of the images, divisible by 2^(len(channel_mult) - 1).
      in_channels, out_channels: of the images; twice the channels out for a learned variance.
      label_dim: number of classes, 0 for none. Labels are one-hot floats.
      model_channels: width; channel_mult multiplies it at each resolution, all results multiples of 32.
      stem_channels: of the first convolution; None for model_channels * channel_mult[0] (ADM), improved DDPM has
        model_channels.
      num_blocks: residual blocks a resolution; one more in the decoder.
      attn_resolutions: resolutions with self-attention; the middle always has one.
      num_heads, num_heads_upsample: of attention in the encoder and, where given, in the decoder.
      head_channels: width of a head, which overrides both numbers.
      new_attention_order: of the outputs of qkv, see `SelfAttention`.
      adaptive_scale: adaptive group norm instead of an added embedding.
      conv_resample, resblock_updown: how the resolution changes: by a convolution, or inside residual blocks.
      super_resolution: takes `low_res`, an image of the same channels, which is resized and concatenated with x.
      dropout: probability that an activation is dropped.
      dtype: type of computation; parameters and output are float32.
      remat: recompute the activations of each block in the backward pass, see `layers.remat_block`.

    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B] (the step t, or any scale of it),
      class_labels=None or [B or 1, label_dim], low_res=None or [B, h, w, C], train=False) -> [B, H, W, out_channels].
    Raises: ValueError for attributes out of range and shapes that do not fit them, before anything is compiled.
    Reference: Nichol & Dhariwal 2021, Appendix A; Dhariwal & Nichol 2021, section 3. Zero-initialised: the last
      convolution of each residual block, the projection of attention, the output.
    Example:
      >>> net, x = GuidedUNet(8, 1, 2, model_channels=32, channel_mult=(1, 2), num_blocks=1), jnp.zeros((2, 8, 8, 1))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, jnp.zeros(2))[0].shape
      (2, 8, 8, 2)
    """

    img_resolution: int
    in_channels: int
    out_channels: int
    label_dim: int = 0
    model_channels: int = 128
    channel_mult: Sequence[float] = (1, 2, 2, 2)
    stem_channels: int | None = None
    num_blocks: int = 3
    attn_resolutions: Sequence[int] = (16, 8)
    num_heads: int = 1
    num_heads_upsample: int | None = None
    head_channels: int | None = None
    new_attention_order: bool = False
    adaptive_scale: bool = False
    conv_resample: bool = True
    resblock_updown: bool = False
    super_resolution: bool = False
    dropout: float = 0.0
    dtype: Any = None
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: Image,
        noise_labels: Array,
        class_labels: Array | None = None,
        low_res: Image | None = None,
        train: bool = False,
    ) -> Image:
        check_attributes(self)
        check_image(self, x, noise_labels)
        check_labels("class_labels", class_labels, self.label_dim, x.shape[0])
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        emb = time_embedding(self, noise_labels, out_type)
        if self.label_dim:
            table = self.param("label_emb", nn.initializers.normal(1.0), (self.label_dim, emb.shape[-1]))
            labels = jnp.zeros((1, self.label_dim), emb.dtype) if class_labels is None else class_labels
            emb = emb + labels.astype(emb.dtype) @ table.astype(emb.dtype)
        if self.super_resolution or low_res is not None:
            x = jnp.concatenate([x, _upscaled(self, low_res, x)], axis=-1)
        x = x if self.dtype is None else x.astype(self.dtype)
        x, skips = encode(self, x, emb, train)
        heads = self.num_heads_upsample or self.num_heads
        index = 0
        for halvings, mult in reversed(list(enumerate(self.channel_mult))):
            res, features = self.img_resolution >> halvings, int(self.model_channels * mult)
            for block in range(self.num_blocks + 1):
                name, parts = f"output_blocks_{index}", 1
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = residual_block(self, features, f"{name}_0")(x, emb, train)
                if res in self.attn_resolutions:
                    x, parts = attention_block(self, x, heads, f"{name}_1"), 2
                if halvings and block == self.num_blocks:
                    if self.resblock_updown:
                        x = residual_block(self, features, f"{name}_{parts}", "up")(x, emb, train)
                    else:
                        x = Upsample(self.conv_resample, self.dtype, name=f"{name}_{parts}")(x)
                index += 1
        x = nn.silu(norm32("out_0", self.dtype)(x))
        return Conv(self.out_channels, 3, kernel_init=ZERO, dtype=self.dtype, name="out_2")(x).astype(out_type)


def _upscaled(net: Any, low_res: Image | None, x: Image) -> Image:
    """The low-resolution image at the size of x, bilinear with half-pixel centres."""
    if not net.super_resolution:
        raise ValueError("low_res was given to a network that takes none: set super_resolution")
    if low_res is None or low_res.ndim != 4 or (low_res.shape[0], low_res.shape[-1]) != (x.shape[0], x.shape[-1]):
        found = None if low_res is None else list(low_res.shape)
        raise ValueError(f"low_res must be [{x.shape[0]}, h, w, {x.shape[-1]}] for this network, got {found}")
    return jax.image.resize(low_res, x.shape, "bilinear", antialias=False)
