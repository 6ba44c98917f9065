"""The U-Nets of Song et al. 2021: DDPM++ and NCSN++ in all their variants, and DDPM's own network."""

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_inputs
from jaxdiff.nets.conditioning import Conditioning
from jaxdiff.nets.initialisers import xavier_uniform
from jaxdiff.nets.layers import Nonlinearity, activation, remat_block
from jaxdiff.nets.resampling import Resample
from jaxdiff.nets.unet.edm_block import UNetBlock
from jaxdiff.nets.unet.song_frame import UNetFrame
from jaxdiff.types import Array, Image


class SongUNet(UNetFrame):
    """F(x, noise_labels), the U-Net of Song et al. 2021 in all its variants.

    DDPM++ by default; NCSN++ with embedding_type "fourier", channel_mult_noise 2, encoder_type "residual" and
    resample_filter (1, 3, 3, 1); DDPM with resblock_updown False, resample_filter None, skip_scale 1, group_channels 1.

    Attributes: those of `UNetFrame`, and
      label_dim: number of classes, 0 for none. Labels are one-hot floats.
      augment_dim: number of augmentation labels, 0 for none.
      label_dropout: probability that a label is dropped.
      channel_mult_emb, channel_mult_noise: widths of the embedding and of the noise label's own embedding.
      nonlinearity: activation everywhere; "lrelu" is leaky with a slope of 0.2.

    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B], class_labels=[B or 1, label_dim] or None,
      augment_labels=[B, augment_dim] or None, train=False, rngs={"dropout": key}) -> [B, H, W, out_channels].
    Raises: ValueError for attributes out of range and shapes that do not fit them, before anything is compiled.
    Reference: Song et al. 2021, Appendix H; Karras et al. 2022, Appendix F.1 and Table 7.
    Example:
      >>> import jax
      >>> net, x = SongUNet(8, 1, 1, model_channels=8, channel_mult=(1, 2), num_blocks=1), jnp.zeros((2, 8, 8, 1))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, 1.0)[0].shape
      (2, 8, 8, 1)
    """

    label_dim: int = 0
    augment_dim: int = 0
    label_dropout: float = 0.0
    channel_mult_emb: int = 4
    channel_mult_noise: int = 1
    nonlinearity: Nonlinearity = "swish"

    @nn.compact
    def __call__(
        self,
        x: Image,
        noise_labels: Array,
        class_labels: Array | None = None,
        augment_labels: Array | None = None,
        train: bool = False,
    ) -> Image:
        self._check_attributes()
        if not self.conditional and (self.label_dim or self.augment_dim):
            raise ValueError(
                "conditional=False leaves out all embeddings, but the network has "
                f"label_dim={self.label_dim}, augment_dim={self.augment_dim}"
            )
        check_inputs(self, x, noise_labels, class_labels, augment_labels)
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        x = x if self.dtype is None else x.astype(self.dtype)
        emb = None
        if self.conditional:
            emb = Conditioning(
                self.model_channels * self.channel_mult_noise, self.model_channels * self.channel_mult_emb,
                self.label_dim, self.augment_dim, self.label_dropout, self.embedding_type, xavier_uniform(),
                dtype=self.dtype, nonlinearity=self.nonlinearity, name="map",
            )(x.shape[0], noise_labels, class_labels, augment_labels, train)  # fmt: skip
        x = self._decode(*self._encode(x, emb, train), emb, train)
        return x.astype(out_type)

    def _block(self, features: int, name: str, attend: bool = False, direction: Resample = None) -> nn.Module:
        return remat_block(UNetBlock, self.remat)(
            features,
            direction,
            self._taps(direction),
            num_heads=int(attend),
            dropout=self.dropout,
            skip_scale=self.skip_scale,
            eps=1e-6,
            group_channels=self.group_channels,
            adaptive_scale=False,
            resample_proj=True,
            kernel_init=xavier_uniform(),
            zero_init=xavier_uniform(1e-5),
            attn_init=xavier_uniform(0.2**0.5),
            nonlinearity=self.nonlinearity,
            dtype=self.dtype,
            name=name,
        )

    def _activate(self, x: Image) -> Image:
        return activation(self.nonlinearity)(x)
