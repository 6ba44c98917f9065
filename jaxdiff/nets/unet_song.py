"""The U-Nets of Song et al. 2021 as EDM trains them: DDPM++ and NCSN++."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.conditioning import Conditioning, EmbeddingType, check_choice, check_inputs, check_levels
from jaxdiff.nets.layers import Conv, Image, group_norm, xavier_uniform
from jaxdiff.nets.unet_block import UNetBlock
from jaxdiff.types import Array

EncoderType = Literal["standard", "skip", "residual"]
DecoderType = Literal["standard", "skip"]


class SongUNet(nn.Module):
    """F(x, noise_labels): DDPM++ by default; NCSN++ with embedding_type "fourier", channel_mult_noise 2, encoder_type
    "residual" and resample_filter (1, 3, 3, 1).

    Attributes:
      img_resolution: height and width of the images, divisible by 2^(levels - 1).
      in_channels, out_channels: of the images.
      label_dim: number of classes, 0 for none. Labels are one-hot floats.
      augment_dim: number of augmentation labels, 0 for none.
      model_channels: width; channel_mult multiplies it at each resolution.
      channel_mult_emb, channel_mult_noise: widths of the embedding and of the noise label's own embedding.
      num_blocks: residual blocks a resolution.
      attn_resolutions: resolutions with self-attention; the middle always has one.
      dropout: probability that an activation is dropped; label_dropout: that a label is.
      embedding_type: of the noise label.
      encoder_type: "skip" and "residual" feed down-sampled images in at every resolution.
      decoder_type: "skip" sums images of every resolution.
      resample_filter: taps for changes of resolution, an even number of them.
      dtype: type of computation; parameters and output are float32.

    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B], class_labels=[B or 1, label_dim] or None,
      augment_labels=[B, augment_dim] or None, train=False, rngs={"dropout": key}) -> [B, H, W, out_channels].
    Raises: ValueError for attributes out of range and shapes that do not fit them, before anything is compiled.
    Reference: Song et al. 2021, Appendix H; Karras et al. 2022, Appendix F.1 and Table 7.
    """

    img_resolution: int
    in_channels: int
    out_channels: int
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int = 128
    channel_mult: Sequence[int] = (1, 2, 2, 2)
    channel_mult_emb: int = 4
    num_blocks: int = 4
    attn_resolutions: Sequence[int] = (16,)
    dropout: float = 0.1
    label_dropout: float = 0.0
    embedding_type: EmbeddingType = "positional"
    channel_mult_noise: int = 1
    encoder_type: EncoderType = "standard"
    decoder_type: DecoderType = "standard"
    resample_filter: Sequence[int] = (1, 1)
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: Image,
        noise_labels: Array,
        class_labels: Array | None = None,
        augment_labels: Array | None = None,
        train: bool = False,
    ) -> Image:
        check_levels(self.img_resolution, self.model_channels, self.channel_mult)
        self._check_choices()
        check_inputs(self, x, noise_labels, class_labels, augment_labels)
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        x = x if self.dtype is None else x.astype(self.dtype)
        emb = Conditioning(
            self.model_channels * self.channel_mult_noise, self.model_channels * self.channel_mult_emb, self.label_dim,
            self.augment_dim, self.label_dropout, self.embedding_type, xavier_uniform(), dtype=self.dtype, name="map",
        )(x.shape[0], noise_labels, class_labels, augment_labels, train)  # fmt: skip
        x = self._decode(*self._encode(x, emb, train), emb, train)
        return x.astype(out_type)

    def _check_choices(self) -> None:
        check_choice("embedding_type", self.embedding_type, EmbeddingType)
        check_choice("encoder_type", self.encoder_type, EncoderType)
        check_choice("decoder_type", self.decoder_type, DecoderType)
        if len(self.resample_filter) % 2 or not sum(self.resample_filter):
            raise ValueError(
                f"resample_filter must have an even number of taps and a sum other than 0, got {self.resample_filter}"
            )

    def _block(self, features: int, name: str, attend: bool = False, **kwargs: Any) -> UNetBlock:
        return UNetBlock(
            features,
            taps=self.resample_filter,
            num_heads=int(attend),
            dropout=self.dropout,
            skip_scale=0.5**0.5,
            eps=1e-6,
            adaptive_scale=False,
            resample_proj=True,
            kernel_init=xavier_uniform(),
            zero_init=xavier_uniform(1e-5),
            attn_init=xavier_uniform(0.2**0.5),
            dtype=self.dtype,
            name=name,
            **kwargs,
        )

    def _encode(self, x: Image, emb: Array, train: bool) -> tuple[Image, list[Image]]:
        """From the image to the lowest resolution; every output on the way is kept for the decoder."""
        resampled = partial(Conv, taps=self.resample_filter, dtype=self.dtype)
        image, skips = x, []
        for level, mult in enumerate(self.channel_mult):
            res = self.img_resolution >> level
            prefix = f"enc_{res}x{res}"
            if level == 0:
                x = Conv(self.model_channels, 3, dtype=self.dtype, name=f"{prefix}_conv")(x)
            else:
                features = x.shape[-1]
                x = self._block(features, f"{prefix}_down", direction="down")(x, emb, train)
                if self.encoder_type == "skip":
                    image = resampled(image.shape[-1], 0, "down", name=f"{prefix}_aux_down")(image)
                    x = x + Conv(features, 1, dtype=self.dtype, name=f"{prefix}_aux_skip")(image)
                if self.encoder_type == "residual":
                    image = resampled(features, 3, "down", fused=True, name=f"{prefix}_aux_residual")(image)
                    x = image = 0.5**0.5 * (x + image)
            skips.append(x)
            for index in range(self.num_blocks):
                attend = res in self.attn_resolutions
                x = self._block(self.model_channels * mult, f"{prefix}_block{index}", attend)(x, emb, train)
                skips.append(x)
        return x, skips

    def _decode(self, x: Image, skips: list[Image], emb: Array, train: bool) -> Image:
        """Back to the image; each block takes one of the encoder's outputs beside its own input."""
        image = None
        for level, mult in reversed(list(enumerate(self.channel_mult))):
            res, features = self.img_resolution >> level, self.model_channels * mult
            prefix = f"dec_{res}x{res}"
            if level == len(self.channel_mult) - 1:
                x = self._block(features, f"{prefix}_in0", attend=True)(x, emb, train)
                x = self._block(features, f"{prefix}_in1")(x, emb, train)
            else:
                x = self._block(x.shape[-1], f"{prefix}_up", direction="up")(x, emb, train)
            for index in range(self.num_blocks + 1):
                attend = index == self.num_blocks and res in self.attn_resolutions
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = self._block(features, f"{prefix}_block{index}", attend)(x, emb, train)
            if self.decoder_type == "skip" or level == 0:
                if image is not None:
                    image = Conv(0, 0, "up", self.resample_filter, name=f"{prefix}_aux_up")(image)
                h = nn.silu(group_norm(features, 1e-6, self.dtype, f"{prefix}_aux_norm")(x))
                init = xavier_uniform(1e-5)
                h = Conv(self.out_channels, 3, kernel_init=init, dtype=self.dtype, name=f"{prefix}_aux_conv")(h)
                image = h if image is None else image + h
        assert image is not None
        return image
