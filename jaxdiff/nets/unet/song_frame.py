"""The frame of Song et al.'s U-Nets: resolutions, skips and image pyramids, whatever conditions the residual block."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_choices, check_resolutions, check_taps
from jaxdiff.nets.conditioning import EmbeddingType
from jaxdiff.nets.convolution import Conv, resampling_layer
from jaxdiff.nets.initialisers import xavier_uniform
from jaxdiff.nets.layers import group_norm
from jaxdiff.nets.resampling import Direction, Resample, convolution_taps, resample
from jaxdiff.types import Image

EncoderType = Literal["standard", "skip", "residual"]
DecoderType = Literal["standard", "skip", "residual"]
Combine = Literal["sum", "cat"]
DownFilter = Literal["correlate", "convolve"]


class UNetFrame(nn.Module):
    """From an image to the lowest resolution and back, around residual blocks that a network defines.

    Attributes:
      img_resolution: height and width of the images, divisible by 2^(len(channel_mult) - 1).
      in_channels, out_channels: of the images.
      model_channels: width; channel_mult multiplies it at each resolution.
      num_blocks: residual blocks a resolution.
      attn_resolutions: resolutions with self-attention; the middle always has one.
      dropout: probability that an activation is dropped.
      embedding_type: of the noise label.
      conditional: whether the network is conditioned on the noise label at all.
      encoder_type: "skip" and "residual" feed down-sampled images in at every resolution.
      decoder_type: "skip" sums images of every resolution, "residual" feeds up-sampled features in at every one.
      resample_filter: taps for changes of resolution, an even number of them, for rows and columns alike. None for no
        filter: nearest neighbours upwards; downwards means, and where a layer convolves a stride of 2.
      down_filter: what is done downwards with the taps, "correlate" as EDM or "convolve" as score SDE and DDGAN;
        upwards all convolve. The same for symmetric taps.
      encoder_combine: whether encoder_type "skip" adds the image's features to the others or concatenates them.
      resblock_updown: residual blocks change the resolution, as BigGAN's; else, as DDPM's, layers between them do.
      resample_conv: whether those layers convolve, at once with the filter, or only filter.
      skip_scale: factor on every residual sum.
      group_channels: a group of norm has at least so many channels, as long as there are 32 groups or fewer.
      dtype: type of computation; parameters and output are float32.
      remat: recompute the activations of each block in the backward pass, see `layers.remat_block`.
    Reference: Song et al. 2021, Appendix H.
    Example:
      >>> UNetFrame(10, 1, 1)._check_attributes()
      Traceback (most recent call last):
      ValueError: img_resolution=10 must be divisible by 8, as it is halved that far
    """

    img_resolution: int
    in_channels: int
    out_channels: int
    model_channels: int = 128
    channel_mult: Sequence[int] = (1, 2, 2, 2)
    num_blocks: int = 4
    attn_resolutions: Sequence[int] = (16,)
    dropout: float = 0.1
    embedding_type: EmbeddingType = "positional"
    conditional: bool = True
    encoder_type: EncoderType = "standard"
    decoder_type: DecoderType = "standard"
    resample_filter: Sequence[float] | None = (1, 1)
    down_filter: DownFilter = "correlate"
    encoder_combine: Combine = "sum"
    resblock_updown: bool = True
    resample_conv: bool = True
    skip_scale: float = 0.5**0.5
    group_channels: int = 4
    dtype: Any = None
    remat: bool = False

    def _block(self, features: int, name: str, attend: bool = False, direction: Resample = None) -> nn.Module:
        """The network's own residual block, called as block(x, emb, train)."""
        raise NotImplementedError

    def _activate(self, x: Image) -> Image:
        """The activation before the output."""
        return nn.silu(x)

    def _resampling(
        self, features: int, direction: Direction, name: str, conv: bool = True
    ) -> Callable[[Image], Image]:
        """What changes the resolution of a residual pyramid, and between blocks that do not."""
        taps = self.resample_filter and self._taps(direction)
        return resampling_layer(features, direction, taps, conv, self.dtype, name)

    def _taps(self, direction: Resample) -> tuple[float, ...]:
        """The filter in the orientation of `resample`."""
        taps = tuple(self.resample_filter or (1, 1))
        return convolution_taps(taps, direction) if self.down_filter == "convolve" else taps

    def _check_attributes(self) -> None:
        check_resolutions(self.img_resolution, self.model_channels, self.channel_mult)
        check_choices(self)
        if self.resample_filter is not None:
            check_taps("resample_filter", self.resample_filter)

    def _change(self, x: Image, direction: Direction, name: str, emb: Any, train: bool) -> Image:
        if self.resblock_updown:
            return self._block(x.shape[-1], name, direction=direction)(x, emb, train)
        return self._resampling(x.shape[-1], direction, name, self.resample_conv)(x)

    def _encode(self, x: Image, emb: Any, train: bool) -> tuple[Image, list[Image]]:
        """From the image to the lowest resolution; every output on the way is kept for the decoder."""
        image, skips = x, []
        for halvings, mult in enumerate(self.channel_mult):
            res = self.img_resolution >> halvings
            prefix = f"enc_{res}x{res}"
            if halvings == 0:
                x = Conv(self.model_channels, 3, dtype=self.dtype, name=f"{prefix}_conv")(x)
            else:
                features = x.shape[-1]
                x = self._change(x, "down", f"{prefix}_down", emb, train)
                if self.encoder_type == "skip":
                    image = resample(image, self._taps("down"), "down")
                    x = combine(image, x, self.encoder_combine, self.dtype, f"{prefix}_aux_skip")
                if self.encoder_type == "residual":
                    image = self._resampling(features, "down", f"{prefix}_aux_residual")(image)
                    x = image = self.skip_scale * (x + image)
            skips.append(x)
            for index in range(self.num_blocks):
                attend = res in self.attn_resolutions
                x = self._block(self.model_channels * mult, f"{prefix}_block{index}", attend)(x, emb, train)
                skips.append(x)
        return x, skips

    def _decode(self, x: Image, skips: list[Image], emb: Any, train: bool) -> Image:
        """Back to the image; each block is given one of the encoder's outputs together with its own input."""
        image = None
        for halvings, mult in reversed(list(enumerate(self.channel_mult))):
            res, features = self.img_resolution >> halvings, self.model_channels * mult
            prefix = f"dec_{res}x{res}"
            if halvings == len(self.channel_mult) - 1:
                x = self._block(features, f"{prefix}_in0", attend=True)(x, emb, train)
                x = self._block(features, f"{prefix}_in1")(x, emb, train)
            else:
                x = self._change(x, "up", f"{prefix}_up", emb, train)
            for index in range(self.num_blocks + 1):
                attend = index == self.num_blocks and res in self.attn_resolutions
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = self._block(features, f"{prefix}_block{index}", attend)(x, emb, train)
            x, image = self._output(x, image, halvings)
        assert image is not None
        return image

    def _output(self, x: Image, image: Image | None, halvings: int) -> tuple[Image, Image | None]:
        """After a resolution's blocks: the features, and the pyramid that becomes the image, at the next resolution."""
        features, res = x.shape[-1], self.img_resolution >> halvings
        prefix = f"dec_{res}x{res}"
        if self.decoder_type == "residual" and image is not None:
            x = image = self.skip_scale * (x + self._resampling(features, "up", f"{prefix}_aux_residual")(image))
        if halvings and (self.decoder_type == "standard" or (self.decoder_type == "residual" and image is not None)):
            return x, image
        channels = features if self.decoder_type == "residual" and halvings else self.out_channels
        init = xavier_uniform(1e-5 if channels == self.out_channels else 1.0)
        h = self._activate(group_norm(features, 1e-6, self.dtype, f"{prefix}_aux_norm", self.group_channels)(x))
        h = Conv(channels, 3, kernel_init=init, dtype=self.dtype, name=f"{prefix}_aux_conv")(h)
        if self.decoder_type == "skip" and image is not None:
            h = h + resample(image, self._taps("up"), "up")
        return x, h


def combine(image: Image, x: Image, how: Combine, dtype: Any, name: str) -> Image:
    """Combine a down-sampled image, as features of its own, with features: their sum, or both, the image's first.

    Its layer is made inside the network that calls it.
    Args:
      image: [B, H, W, C]; x: features [B, H, W, D].
      how: "sum" or "cat".
      dtype: type of computation; name: of the layer.
    Returns: [B, H, W, D], or [B, H, W, 2D].
    Reference: Song et al. 2021, Appendix H, the input's progressive growing.
    Example:
      >>> import jax
      >>> class Net(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, image, x):
      ...         return combine(image, x, "cat", None, "layer")
      >>> image, x = jnp.zeros((2, 4, 4, 1)), jnp.zeros((2, 4, 4, 8))
      >>> jax.eval_shape(Net().init_with_output, jax.random.key(0), image, x)[0].shape
      (2, 4, 4, 16)
    """
    h = Conv(x.shape[-1], 1, dtype=dtype, name=name)(image)
    return x + h if how == "sum" else jnp.concatenate([h, x], axis=-1)
