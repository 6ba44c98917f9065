"""The frame of Song et al.'s U-Nets: resolutions, skips and image pyramids, whatever the residual block is told."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxdiff.nets.conditioning import EmbeddingType, check_choices, check_levels
from jaxdiff.nets.layers import Conv, Image, Resample, convolving, group_norm, resample, resampling, xavier_uniform

EncoderType = Literal["standard", "skip", "residual"]
DecoderType = Literal["standard", "skip", "residual"]
Combine = Literal["sum", "cat"]
Direction = Literal["up", "down"]
DownFilter = Literal["correlate", "convolve"]


class UNetFrame(nn.Module):
    """From an image to the lowest resolution and back, around residual blocks that a network defines.

    Attributes:
      img_resolution: height and width of the images, divisible by 2^(levels - 1).
      in_channels, out_channels: of the images.
      model_channels: width; channel_mult multiplies it at each resolution.
      num_blocks: residual blocks a resolution.
      attn_resolutions: resolutions with self-attention; the middle always has one.
      dropout: probability that an activation is dropped.
      embedding_type: of the noise label.
      conditional: whether the network is told the noise label at all.
      encoder_type: "skip" and "residual" feed down-sampled images in at every resolution.
      decoder_type: "skip" sums images of every resolution, "residual" feeds up-sampled features in at every one.
      resample_filter: taps for changes of resolution, an even number of them, for rows and columns alike. None for no
        filter: nearest neighbours upwards; downwards means, and where a layer convolves a stride of 2.
      down_filter: what is done downwards with the taps, "correlate" as EDM or "convolve" as score SDE and DDGAN;
        upwards all convolve. The same for symmetric taps.
      encoder_combine: whether encoder_type "skip" adds the image's features or puts them beside the others.
      resblock_updown: residual blocks change the resolution, as BigGAN's; else, as DDPM's, layers between them do.
      resample_conv: whether those layers convolve, at once with the filter, or only filter.
      skip_scale: factor on every residual sum.
      group_channels: a group of norm has at least so many channels, as long as there are 32 groups or fewer.
      dtype: type of computation; parameters and output are float32.
      remat: recompute the activations of each block in the backward pass, see `layers.recomputed`.
    Reference: Song et al. 2021, Appendix H.
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
        """The network's own residual block, called as block(x, told, train)."""
        raise NotImplementedError

    def _activate(self, x: Image) -> Image:
        """The activation before the output."""
        return nn.silu(x)

    def _resampling(
        self, features: int, direction: Direction, name: str, conv: bool = True
    ) -> Callable[[Image], Image]:
        """What changes the resolution of a residual pyramid, and between blocks that do not."""
        taps = self.resample_filter and self._taps(direction)
        return resampling(features, direction, taps, conv, self.dtype, name)

    def _taps(self, direction: Resample) -> tuple[float, ...]:
        """The filter in the orientation of `resample`."""
        taps = tuple(self.resample_filter or (1, 1))
        return convolving(taps, direction) if self.down_filter == "convolve" else taps

    def _check_attributes(self) -> None:
        check_levels(self.img_resolution, self.model_channels, self.channel_mult)
        check_choices(self)
        if self.resample_filter is not None:
            check_taps("resample_filter", self.resample_filter)

    def _change(self, x: Image, direction: Direction, name: str, told: Any, train: bool) -> Image:
        if self.resblock_updown:
            return self._block(x.shape[-1], name, direction=direction)(x, told, train)
        return self._resampling(x.shape[-1], direction, name, self.resample_conv)(x)

    def _encode(self, x: Image, told: Any, train: bool) -> tuple[Image, list[Image]]:
        """From the image to the lowest resolution; every output on the way is kept for the decoder."""
        image, skips = x, []
        for level, mult in enumerate(self.channel_mult):
            res = self.img_resolution >> level
            prefix = f"enc_{res}x{res}"
            if level == 0:
                x = Conv(self.model_channels, 3, dtype=self.dtype, name=f"{prefix}_conv")(x)
            else:
                features = x.shape[-1]
                x = self._change(x, "down", f"{prefix}_down", told, train)
                if self.encoder_type == "skip":
                    image = resample(image, self._taps("down"), "down")
                    x = combine(image, x, self.encoder_combine, self.dtype, f"{prefix}_aux_skip")
                if self.encoder_type == "residual":
                    image = self._resampling(features, "down", f"{prefix}_aux_residual")(image)
                    x = image = self.skip_scale * (x + image)
            skips.append(x)
            for index in range(self.num_blocks):
                attend = res in self.attn_resolutions
                x = self._block(self.model_channels * mult, f"{prefix}_block{index}", attend)(x, told, train)
                skips.append(x)
        return x, skips

    def _decode(self, x: Image, skips: list[Image], told: Any, train: bool) -> Image:
        """Back to the image; each block takes one of the encoder's outputs beside its own input."""
        image = None
        for level, mult in reversed(list(enumerate(self.channel_mult))):
            res, features = self.img_resolution >> level, self.model_channels * mult
            prefix = f"dec_{res}x{res}"
            if level == len(self.channel_mult) - 1:
                x = self._block(features, f"{prefix}_in0", attend=True)(x, told, train)
                x = self._block(features, f"{prefix}_in1")(x, told, train)
            else:
                x = self._change(x, "up", f"{prefix}_up", told, train)
            for index in range(self.num_blocks + 1):
                attend = index == self.num_blocks and res in self.attn_resolutions
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = self._block(features, f"{prefix}_block{index}", attend)(x, told, train)
            x, image = self._output(x, image, level)
        assert image is not None
        return image

    def _output(self, x: Image, image: Image | None, level: int) -> tuple[Image, Image | None]:
        """After a level's blocks: the features, and the pyramid of what will be the image, one level higher."""
        features, res = x.shape[-1], self.img_resolution >> level
        prefix = f"dec_{res}x{res}"
        if self.decoder_type == "residual" and image is not None:
            x = image = self.skip_scale * (x + self._resampling(features, "up", f"{prefix}_aux_residual")(image))
        if level and (self.decoder_type == "standard" or (self.decoder_type == "residual" and image is not None)):
            return x, image
        channels = features if self.decoder_type == "residual" and level else self.out_channels
        init = xavier_uniform(1e-5 if channels == self.out_channels else 1.0)
        h = self._activate(group_norm(features, 1e-6, self.dtype, f"{prefix}_aux_norm", self.group_channels)(x))
        h = Conv(channels, 3, kernel_init=init, dtype=self.dtype, name=f"{prefix}_aux_conv")(h)
        if self.decoder_type == "skip" and image is not None:
            h = h + resample(image, self._taps("up"), "up")
        return x, h


def check_taps(name: str, taps: Sequence[float]) -> None:
    """Raise ValueError unless they are a filter that `layers.resample` takes."""
    if np.ndim(taps) != 1 or not len(taps) or len(taps) % 2 or not sum(taps):
        raise ValueError(
            f"{name} must be one row of an even number of taps, for rows and columns alike, and of a sum other than 0, "
            f"got {taps}"
        )


def combine(image: Image, x: Image, how: Combine, dtype: Any, name: str) -> Image:
    """A down-sampled image, as features of its own, added to features or put before them."""
    h = Conv(x.shape[-1], 1, dtype=dtype, name=name)(image)
    return x + h if how == "sum" else jnp.concatenate([h, x], axis=-1)
