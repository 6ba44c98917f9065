"""The U-Net of improved DDPM and guided diffusion, in all their options, with the names of the published weights."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.conditioning import check_inputs
from jaxdiff.nets.embeddings import positional
from jaxdiff.nets.guided_block import DEFAULT, ZERO, Downsample, ResBlock, SelfAttention, Upsample, dense, norm32
from jaxdiff.nets.layers import Conv, Image, recomputed
from jaxdiff.types import Array


class GuidedUNet(nn.Module):
    """F(x, noise_labels), the network of Nichol & Dhariwal 2021 and of ADM (Dhariwal & Nichol 2021).

    `DhariwalUNet` is EDM's variant of it, with other groups, names and initialisation.

    Attributes:
      img_resolution: height and width of the images, divisible by 2^(levels - 1).
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
      super_resolution: takes `low_res`, an image of the same channels, which is resized and put beside x.
      dropout: probability that an activation is dropped.
      dtype: type of computation; parameters and output are float32.
      remat: recompute the activations of each block in the backward pass, see `layers.recomputed`.

    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B] (the step t, or any scale of it),
      class_labels=None or [B or 1, label_dim], low_res=None or [B, h, w, C], train=False) -> [B, H, W, out_channels].
    Raises: ValueError for attributes out of range and shapes that do not fit them, before anything is compiled.
    Reference: Nichol & Dhariwal 2021, Appendix A; Dhariwal & Nichol 2021, section 3. Zero-initialised: the last
      convolution of each residual block, the projection of attention, the output.
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

    @property
    def augment_dim(self) -> int:
        """The paper's networks know of no augmentation."""
        return 0

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
        check_inputs(self, x, noise_labels, class_labels, None)
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        emb = time_embedding(self, noise_labels, out_type)
        if self.label_dim:
            table = self.param("label_emb", nn.initializers.normal(1.0), (self.label_dim, emb.shape[-1]))
            labels = jnp.zeros((1, self.label_dim), emb.dtype) if class_labels is None else class_labels
            emb = emb + labels.astype(emb.dtype) @ table.astype(emb.dtype)
        if self.super_resolution or low_res is not None:
            x = jnp.concatenate([x, upscaled(self, low_res, x)], axis=-1)
        x = x if self.dtype is None else x.astype(self.dtype)
        x, skips = encode(self, x, emb, train)
        heads = self.num_heads_upsample or self.num_heads
        index = 0
        for level, mult in reversed(list(enumerate(self.channel_mult))):
            res, features = self.img_resolution >> level, int(self.model_channels * mult)
            for block in range(self.num_blocks + 1):
                name, parts = f"output_blocks_{index}", 1
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = residual(self, features, f"{name}_0")(x, emb, train)
                if res in self.attn_resolutions:
                    x, parts = attend(self, x, heads, f"{name}_1"), 2
                if level and block == self.num_blocks:
                    if self.resblock_updown:
                        x = residual(self, features, f"{name}_{parts}", "up")(x, emb, train)
                    else:
                        x = Upsample(self.conv_resample, self.dtype, name=f"{name}_{parts}")(x)
                index += 1
        x = nn.silu(norm32("out_0", self.dtype)(x))
        return Conv(self.out_channels, 3, kernel_init=ZERO, dtype=self.dtype, name="out_2")(x).astype(out_type)


def time_embedding(net: Any, noise_labels: Array, dtype: Any) -> Array:
    """[B or 1, 4 * model_channels]: sinusoids through two layers, made inside the network that asks."""
    t = jnp.asarray(noise_labels).reshape(-1).astype(dtype)
    emb = positional(t, net.model_channels, end_point=False, cosine_first=True)
    width = 4 * net.model_channels
    emb = nn.silu(dense(width, net.model_channels, "time_embed_0", net.dtype)(emb))
    return dense(width, width, "time_embed_2", net.dtype)(emb)


def encode(net: Any, x: Image, emb: Array, train: bool) -> tuple[Image, list[Image]]:
    """The encoder and the middle of a network, made inside the network that asks; with what the decoder is given."""
    stem = net.stem_channels or int(net.model_channels * net.channel_mult[0])
    x = Conv(stem, 3, kernel_init=DEFAULT, bias_scale=1.0, dtype=net.dtype, name="input_blocks_0_0")(x)
    skips = [x]
    for level, mult in enumerate(net.channel_mult):
        res, features = net.img_resolution >> level, int(net.model_channels * mult)
        for _ in range(net.num_blocks):
            name = f"input_blocks_{len(skips)}"
            x = residual(net, features, f"{name}_0")(x, emb, train)
            if res in net.attn_resolutions:
                x = attend(net, x, net.num_heads, f"{name}_1")
            skips.append(x)
        if level < len(net.channel_mult) - 1:
            name = f"input_blocks_{len(skips)}_0"
            if net.resblock_updown:
                x = residual(net, features, name, "down")(x, emb, train)
            else:
                x = Downsample(net.conv_resample, net.dtype, name=name)(x)
            skips.append(x)
    x = residual(net, x.shape[-1], "middle_block_0")(x, emb, train)
    x = attend(net, x, net.num_heads, "middle_block_1")
    return residual(net, x.shape[-1], "middle_block_2")(x, emb, train), skips


def residual(net: Any, features: int, name: str, direction: Any = None) -> nn.Module:
    """A residual block with the network's options."""
    return recomputed(ResBlock, net.remat)(features, direction, net.adaptive_scale, net.dropout, net.dtype, name=name)


def attend(net: Any, x: Image, num_heads: int, name: str) -> Image:
    """Self-attention with the network's options."""
    heads = x.shape[-1] // net.head_channels if net.head_channels else num_heads
    if net.head_channels and x.shape[-1] % net.head_channels:
        raise ValueError(f"head_channels={net.head_channels} must divide the {x.shape[-1]} channels of {name}")
    return SelfAttention(heads, net.new_attention_order, net.dtype, name=name)(x)


def upscaled(net: Any, low_res: Image | None, x: Image) -> Image:
    """The low-resolution image at the size of x, bilinear with half-pixel centres."""
    if not net.super_resolution:
        raise ValueError("low_res was given to a network that takes none: set super_resolution")
    if low_res is None or low_res.ndim != 4 or (low_res.shape[0], low_res.shape[-1]) != (x.shape[0], x.shape[-1]):
        found = None if low_res is None else list(low_res.shape)
        raise ValueError(f"low_res must be [{x.shape[0]}, h, w, {x.shape[-1]}] for this network, got {found}")
    return jax.image.resize(low_res, x.shape, "bilinear", antialias=False)


def check_attributes(net: Any) -> None:
    """Raise ValueError unless every resolution is whole, every width a multiple of 32, dropout a probability."""
    factor = 2 ** (len(net.channel_mult) - 1)
    if net.img_resolution < factor or net.img_resolution % factor:
        raise ValueError(f"img_resolution={net.img_resolution} must be divisible by {factor}, as it is halved that far")
    stem = net.stem_channels or int(net.model_channels * net.channel_mult[0])
    for width in (stem, *(int(net.model_channels * mult) for mult in net.channel_mult)):
        if width < 32 or width % 32:
            raise ValueError(f"every width must be a multiple of 32, the groups of norm, got {width}")
    if not 0 <= net.dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {net.dropout}")
