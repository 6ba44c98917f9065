"""The U-Net of Dhariwal & Nichol 2021 (ADM) as EDM trains it."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_inputs, check_resolutions
from jaxdiff.nets.conditioning import AdmConditioning
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.initialisers import kaiming_uniform
from jaxdiff.nets.layers import group_norm, remat_block
from jaxdiff.nets.unet.edm_block import UNetBlock
from jaxdiff.types import Array, Image


class DhariwalUNet(nn.Module):
    """F(x, noise_labels), ADM as EDM trains it: adaptive group norm, 64 channels a head, blocks that resample.

    Attributes:
      img_resolution: height and width of the images, divisible by 2^(len(channel_mult) - 1).
      in_channels, out_channels: of the images.
      label_dim: number of classes, 0 for none. Labels are one-hot floats.
      augment_dim: number of augmentation labels, 0 for none.
      model_channels: width; channel_mult multiplies it at each resolution, channel_mult_emb for the embedding.
      num_blocks: residual blocks a resolution.
      attn_resolutions: resolutions with self-attention; the middle always has one. Below 64 channels there is none.
      dropout: probability that an activation is dropped; label_dropout: that a label is.
      dtype: type of computation; parameters and output are float32.
      remat: recompute the activations of each block in the backward pass, see `layers.remat_block`.

    Call: as `SongUNet`.
    Raises: ValueError for attributes out of range and shapes that do not fit them, before anything is compiled.
    Reference: Dhariwal & Nichol 2021, section 3; Karras et al. 2022, Appendix F.1 and Table 7, whose zero-initialised
      layers are used. Labels start in N(0, 1), all else in U(-1, 1) / sqrt(fan_in), the framework default of ADM.
    Example:
      >>> import jax
      >>> net, x = DhariwalUNet(8, 1, 1, model_channels=8, channel_mult=(1, 2), num_blocks=1), jnp.zeros((2, 8, 8, 1))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, jnp.zeros(2))[0].shape
      (2, 8, 8, 1)
    """

    img_resolution: int
    in_channels: int
    out_channels: int
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int = 192
    channel_mult: Sequence[int] = (1, 2, 3, 4)
    channel_mult_emb: int = 4
    num_blocks: int = 3
    attn_resolutions: Sequence[int] = (32, 16, 8)
    dropout: float = 0.1
    label_dropout: float = 0.0
    dtype: Any = None
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: Image,
        noise_labels: Array,
        class_labels: Array | None = None,
        augment_labels: Array | None = None,
        train: bool = False,
    ) -> Image:
        check_resolutions(self.img_resolution, self.model_channels, self.channel_mult)
        check_inputs(self, x, noise_labels, class_labels, augment_labels)
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        x = x if self.dtype is None else x.astype(self.dtype)
        init = kaiming_uniform(3**-0.5)
        emb = AdmConditioning(
            self.model_channels, self.model_channels * self.channel_mult_emb, self.label_dim, self.augment_dim,
            self.label_dropout, init, bias_scale=1.0, dtype=self.dtype, name="map",
        )(x.shape[0], noise_labels, class_labels, augment_labels, train)  # fmt: skip

        def block(x: Image, features: int, name: str, attend: bool = False, **kwargs: Any) -> Image:
            return remat_block(UNetBlock, self.remat)(
                features, num_heads=features // 64 if attend else 0, dropout=self.dropout, kernel_init=init,
                zero_init=kaiming_uniform(0.0), bias_scale=1.0, dtype=self.dtype, name=name, **kwargs,
            )(x, emb, train)  # fmt: skip

        skips = []
        for halvings, mult in enumerate(self.channel_mult):
            res, features = self.img_resolution >> halvings, self.model_channels * mult
            if halvings == 0:
                first = f"enc_{res}x{res}_conv"
                x = Conv(features, 3, kernel_init=init, bias_scale=1.0, dtype=self.dtype, name=first)(x)
            else:
                x = block(x, x.shape[-1], f"enc_{res}x{res}_down", direction="down")
            skips.append(x)
            for index in range(self.num_blocks):
                x = block(x, features, f"enc_{res}x{res}_block{index}", res in self.attn_resolutions)
                skips.append(x)

        for halvings, mult in reversed(list(enumerate(self.channel_mult))):
            res, features = self.img_resolution >> halvings, self.model_channels * mult
            if halvings == len(self.channel_mult) - 1:
                x = block(x, features, f"dec_{res}x{res}_in0", attend=True)
                x = block(x, features, f"dec_{res}x{res}_in1")
            else:
                x = block(x, x.shape[-1], f"dec_{res}x{res}_up", direction="up")
            for index in range(self.num_blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block(x, features, f"dec_{res}x{res}_block{index}", res in self.attn_resolutions)
        x = nn.silu(group_norm(x.shape[-1], 1e-5, self.dtype, "out_norm")(x))
        x = Conv(self.out_channels, 3, kernel_init=kaiming_uniform(0.0), dtype=self.dtype, name="out_conv")(x)
        return x.astype(out_type)
