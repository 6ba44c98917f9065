"""The discriminators of denoising diffusion GANs: is x_{t-1} a plausible denoised version of x_t?"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_noise_labels
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.ddgan.blocks import FAN_OUT
from jaxdiff.nets.embeddings import positional
from jaxdiff.nets.initialisers import Init, scaled
from jaxdiff.nets.resampling import Resample
from jaxdiff.types import Array, Float, Image

TAPS = (1, 3, 3, 1)
NEAR_ZERO: Init = scaled(FAN_OUT, 1e-5)
leaky_relu = partial(nn.leaky_relu, negative_slope=0.2)


class DownBlock(nn.Module):
    """LeakyReLU, conv, + time, LeakyReLU, (half the resolution,) conv, + skip, / sqrt(2).

    Attributes:
      features: output channels; down: whether the resolution is halved.
      dtype: type of computation; parameters are float32.
    Call: block.apply(params, x [B, H, W, C], emb [B, E]) -> [B, H', W', features].
    Reference: Xiao et al. 2022, Appendix C.1.
    Example:
      >>> import jax
      >>> block, key = DownBlock(16, down=True), jax.random.key(0)
      >>> jax.eval_shape(block.init_with_output, key, jnp.zeros((2, 4, 4, 8)), jnp.zeros((2, 3)))[0].shape
      (2, 2, 2, 16)
    """

    features: int
    down: bool
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Image, emb: Float[Array, "B E"]) -> Image:
        conv = partial(Conv, self.features, taps=TAPS, dtype=self.dtype)
        direction: Resample = "down" if self.down else None
        h = conv(3, kernel_init=FAN_OUT, name="conv0")(leaky_relu(x))
        h = h + nn.Dense(self.features, kernel_init=FAN_OUT, dtype=self.dtype, name="affine")(emb)[:, None, None]
        h = conv(3, direction, kernel_init=NEAR_ZERO, name="conv1")(leaky_relu(h))
        return (conv(1, direction, kernel_init=FAN_OUT, bias=False, name="skip")(x) + h) * 0.5**0.5


def minibatch_deviation(x: Image, group: int = 4) -> Float[Array, "B 1"]:
    """Measure how much the examples of a group differ: their standard deviation, averaged over pixels and channels.

    sqrt(var + 1e-8), the biased variance over the min(B, group) members of a group; members are B / group apart.
    Args:
      x: [B, H, W, C].
      group: at most so many examples are compared; one such group is the whole batch.
    Returns: [B, 1], the same for all members of a group.
    Raises: ValueError when the groups do not divide the batch.
    Reference: Karras et al. 2018 (progressive GAN), section 3, per group as in StyleGAN.
    Example:
      >>> x = jnp.array([0.0, 0.0, 2.0, 0.0])[:, None, None, None]
      >>> minibatch_deviation(x, group=2)[:, 0].round(3).tolist()
      [1.0, 0.0, 1.0, 0.0]
    """
    batch = x.shape[0]
    size = min(batch, group)
    if batch % size:
        raise ValueError(f"a batch of {batch} does not split into groups of {size} for the minibatch deviation")
    var = jnp.var(x.reshape(size, batch // size, *x.shape[1:]), axis=0)
    deviation = jnp.mean(jnp.sqrt(var + 1e-8), axis=(1, 2, 3))
    return jnp.tile(deviation, size)[:, None]


def time_embedding(t: Float[Array, " B"], channels: Sequence[int], dtype: Any = None) -> Float[Array, "B E"]:
    """Embed t as sines and cosines, then by linear layers with LeakyReLU between, made inside the network that calls.

    Args:
      t: [B].
      channels: the number of sines and cosines, then the width of each layer.
      dtype: type of computation.
    Returns: [B, channels[-1]].
    Reference: Xiao et al. 2022, Appendix C.1.
    Example:
      >>> time_embedding(jnp.zeros(2), [4])[0].tolist()
      [0.0, 0.0, 1.0, 1.0]
    """
    emb = positional(t, channels[0])
    for index, features in enumerate(channels[1:]):
        emb = leaky_relu(emb) if index else emb
        emb = nn.Dense(features, kernel_init=FAN_OUT, dtype=dtype, name=f"map_layer{index}")(emb)
    return emb


class Discriminator(nn.Module):
    """D(x_{t-1}, x_t, t), a logit an example; by default the small one, for 8x8 pixels and more.

    Attributes:
      in_channels: of one image.
      model_channels: width; channel_mult multiplies it after each block.
      emb_channels: width of the embedding of time.
      channel_mult: one block each.
      same: so many blocks come first that keep the resolution; all others halve it.
      group: of the minibatch deviation.
      final_scale: factor on how the last convolution starts; all kernels start in U(-b, b), b = sqrt(3 / fan_out).
      dtype: type of computation; parameters and logits are float32.
      remat: recompute the activations of each block in the backward pass.

    Call: net.apply(params, x_next [B, H, W, C], x [B, H, W, C], noise_labels [] or [B]) -> [B]. x_next is x_{t-1}, the
      cleaner one, x is x_t, and the noise labels are the indices 0 .. T - 1 as the generator's.
    Raises: ValueError for images of different shapes, of other channels or too small, and for a batch that groups do
      not divide.
    Reference: Xiao et al. 2022, Appendix C.1. Pixels are summed before the last layer.
    Example:
      >>> import jax
      >>> net, x = Discriminator(1, model_channels=8, emb_channels=8), jnp.zeros((2, 8, 8, 1))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, x, jnp.zeros(2))[0].shape
      (2,)
    """

    in_channels: int
    model_channels: int = 64
    emb_channels: int = 256
    channel_mult: Sequence[int] = (2, 4, 8, 8)
    same: int = 1
    group: int = 4
    final_scale: float = 1e-5
    dtype: Any = None
    remat: bool = False

    @nn.compact
    def __call__(self, x_next: Image, x: Image, noise_labels: Array) -> Float[Array, " B"]:
        self._check(x_next, x, noise_labels)
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        conv = partial(Conv, dtype=self.dtype)
        t = jnp.asarray(noise_labels).reshape(-1).astype(out_type)
        emb = leaky_relu(time_embedding(t, [self.emb_channels] * 3, self.dtype))
        h = jnp.concatenate([x_next, x], axis=-1)
        h = conv(2 * self.model_channels, 1, kernel_init=FAN_OUT, name="stem")(h)
        block = nn.remat(DownBlock) if self.remat else DownBlock
        for index, mult in enumerate(self.channel_mult):
            h = block(mult * self.model_channels, index >= self.same, self.dtype, name=f"block{index}")(h, emb)
        deviation = minibatch_deviation(h, self.group)[:, None, None]
        h = jnp.concatenate([h, jnp.broadcast_to(deviation, (*h.shape[:3], 1))], axis=-1)
        h = conv(h.shape[-1] - 1, 3, kernel_init=scaled(FAN_OUT, self.final_scale), name="final_conv")(h)
        h = jnp.sum(leaky_relu(h), axis=(1, 2))
        logit = nn.Dense(1, kernel_init=FAN_OUT, dtype=self.dtype, name="logit")(h)
        return logit[:, 0].astype(out_type)

    def _check(self, x_next: Image, x: Image, noise_labels: Array) -> None:
        if x_next.shape != x.shape:
            raise ValueError(f"x_next and x must have one shape, got {list(x_next.shape)} and {list(x.shape)}")
        if x.ndim != 4 or x.shape[-1] != self.in_channels:
            raise ValueError(f"x must be [B, H, W, {self.in_channels}] for this network, got {list(x.shape)}")
        least = 2 ** (len(self.channel_mult) - self.same)
        if min(x.shape[1:3]) < least:
            raise ValueError(f"images must be {least}x{least} or more for this network, got {x.shape[1]}x{x.shape[2]}")
        check_noise_labels(noise_labels, x.shape[0])


def large_discriminator(
    in_channels: int, model_channels: int = 64, emb_channels: int = 256, dtype: Any = None
) -> Discriminator:
    """Make the discriminator for 64x64 pixels and more, of six blocks that all halve the resolution.

    Args:
      in_channels, model_channels, emb_channels, dtype: as `Discriminator`.
    Reference: Xiao et al. 2022, Appendix C.1.
    Example:
      >>> large_discriminator(3).same, len(large_discriminator(3).channel_mult)
      (0, 6)
    """
    mult = (4, 8, 8, 8, 8, 8)
    return Discriminator(in_channels, model_channels, emb_channels, mult, 0, final_scale=1.0, dtype=dtype)
