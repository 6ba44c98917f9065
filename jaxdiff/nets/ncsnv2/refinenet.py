"""NCSNv2's network, a dilated residual encoder and a RefineNet decoder, and NCSN's, conditioned on the level."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_choices, check_halvings, check_image
from jaxdiff.nets.layers import Nonlinearity, activation
from jaxdiff.nets.ncsnv2.blocks import InstanceNormPlus, ResidualBlock, conv
from jaxdiff.nets.ncsnv2.refine_block import RefineBlock
from jaxdiff.types import Array, Image


class NCSNv2(nn.Module):
    """F(x), of which F(x) / sigma is the score of data with noise sigma.

    As a denoiser: `precond.denoiser(net.apply, params, precond.ve())`, D(x, sigma) = x + sigma * F(x).

    Attributes:
      img_resolution: height and width of the images, divisible by 2 for every stage that halves them.
      in_channels: of the images, and of the output.
      model_channels: width, 2 or more; channel_mult, 1 at first, multiplies it in each stage of the encoder.
      dilations: of each stage's convolutions. A stage of dilation 1 halves the resolution, but for the first; others
        keep it. The defaults are the network for 64 pixels; (1, 2, 2, 4, 4) with (1, 1, 1, 2, 4) is that for 128.
      refine_mult: width multipliers of the decoder, deepest stage first; None for that of the stage above each, and
        (2, 2, 2, 1) is how the JAX code of score SDEs builds the default network. The deepest fuses nothing and keeps
        the encoder's width, whatever its multiplier.
      sigmas: noise levels; the output is divided by the one that the noise label points at, sigmas[int(label)]. None
        for F itself, where noise labels do not matter.
      centered: images lie around 0; else in [0, 1], and are mapped to [-1, 1] first.
      population_variance: of InstanceNorm++, see there. False is the PyTorch code, True the JAX code of score SDEs.
      half_pixel: convention of bilinear resizing. False aligns corners as the PyTorch code, True is the JAX code's.
      nonlinearity: activation everywhere; "lrelu" is leaky with a slope of 0.2.
      num_levels: 0; or for NCSN the number of levels, one of which its norms are conditioned on. Noise labels are
        indices then, and the output is the score itself.
      dtype: type of computation; parameters and output are float32.

    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B], train=False) -> [B, H, W, C]; nothing depends
      on train.
    Raises: ValueError for attributes out of range and shapes that do not fit them, before anything is compiled.
    Reference: Song & Ermon 2020 (arXiv 2006.09011), Technique 3 and Appendix B; Song & Ermon 2019, Appendix A; Lin et
      al. 2017 (RefineNet).
    Example:
      >>> import jax
      >>> net, x = NCSNv2(8, 1, model_channels=8, channel_mult=(1, 2), dilations=(1, 1)), jnp.zeros((2, 8, 8, 1))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, jnp.zeros(2))[0].shape
      (2, 8, 8, 1)
    """

    img_resolution: int
    in_channels: int
    model_channels: int = 128
    channel_mult: Sequence[int] = (1, 2, 2, 2)
    dilations: Sequence[int] = (1, 1, 2, 4)
    refine_mult: Sequence[int] | None = None
    sigmas: Sequence[float] | None = None
    centered: bool = True
    population_variance: bool = False
    half_pixel: bool = False
    nonlinearity: Nonlinearity = "elu"
    num_levels: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image, noise_labels: Array, train: bool = False) -> Image:
        self._check_attributes()
        check_image(self, x, noise_labels)
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        h = x if self.centered else 2 * x - 1
        index = jnp.broadcast_to(jnp.asarray(noise_labels).reshape(-1).astype(jnp.int32), x.shape[:1])
        level = (index,) if self.num_levels else ()
        norm = partial(InstanceNormPlus, self.population_variance, self.dtype, self.num_levels)
        h = conv(h, self.model_channels, "begin_conv", self.dtype)
        stages = []
        for stage, (mult, dilation) in enumerate(zip(self.channel_mult, self.dilations, strict=True)):
            for block in range(2):
                first = stage > 0 and block == 0
                h = ResidualBlock(
                    mult * self.model_channels, first and dilation == 1, dilation, first and dilation > 1,
                    self.population_variance, self.dtype, self.nonlinearity, self.num_levels,
                    name=f"res{stage + 1}_{block}",
                )(h, *level)  # fmt: skip
            stages.append(h)
        mults = self.refine_mult or (*self.channel_mult[-2::-1], self.channel_mult[0])
        for stage, (mult, skip) in enumerate(zip(mults, reversed(stages), strict=True), 1):
            refine = RefineBlock(
                mult * self.model_channels, 3 if stage == len(stages) else 1, self.half_pixel, self.dtype,
                self.nonlinearity, norm if self.num_levels else None, name=f"refine{stage}",
            )  # fmt: skip
            h = refine([skip] if stage == 1 else [skip, h], (skip.shape[1], skip.shape[2]), *level)
        h = activation(self.nonlinearity)(norm(name="normalizer")(h, *level))
        h = conv(h, self.in_channels, "end_conv", self.dtype).astype(out_type)
        if self.sigmas is None:
            return h
        return h / jnp.asarray(self.sigmas, out_type)[index][:, None, None, None]

    def _check_attributes(self) -> None:
        check_choices(self)
        if self.model_channels < 2:
            raise ValueError(
                f"model_channels must be 2 or more, for a variance over channels, got {self.model_channels}"
            )
        depth = len(self.channel_mult)
        if depth < 2 or self.channel_mult[0] != 1 or min(self.channel_mult) < 1:
            raise ValueError(f"channel_mult must be 1, then one or more positive integers, got {self.channel_mult}")
        if len(self.dilations) != depth or self.dilations[0] != 1 or min(self.dilations) < 1:
            raise ValueError(
                f"dilations must be 1, then one integer for each further of the {depth} stages, got {self.dilations}"
            )
        if self.refine_mult is not None and (len(self.refine_mult) != depth or min(self.refine_mult) < 1):
            raise ValueError(f"refine_mult must be {depth} positive integers, as channel_mult, got {self.refine_mult}")
        check_halvings(self.img_resolution, sum(dilation == 1 for dilation in self.dilations[1:]))
        if self.sigmas is not None and not (len(self.sigmas) and min(self.sigmas) > 0):
            raise ValueError(f"sigmas must be positive noise levels, got {self.sigmas}")
        if self.num_levels and self.sigmas is not None and len(self.sigmas) != self.num_levels:
            raise ValueError(f"num_levels={self.num_levels} must be the number of sigmas, {len(self.sigmas)}")
