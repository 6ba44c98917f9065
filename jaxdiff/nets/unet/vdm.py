"""The score network of variational diffusion models: a U-Net in its skips only, all at the resolution of the image."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.attention import attention
from jaxdiff.nets.checks import check_inputs
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.embeddings import positional
from jaxdiff.types import Array, Image

ZEROS = nn.initializers.zeros
FAN_IN = nn.initializers.lecun_normal()


class VDMUNet(nn.Module):
    """eps_hat(z, gamma), the noise in z = alpha * x0 + sigma * eps, where sigma^2 = sigmoid(gamma) = 1 - alpha^2.

    As a denoiser in x = z / alpha: `precond.denoiser(net.apply, params, precond.vdm())`.

    Attributes:
      img_resolution: height and width of the images.
      in_channels: of the images, and of the output.
      label_dim, augment_dim: width of further inputs, 0 for none; they are appended to the embedding of gamma.
      model_channels: width of every block, a multiple of 32.
      num_blocks: residual blocks on the way down; one more goes up.
      attention: an attention after every block; the middle always has one.
      fourier_exponents: k in the features sin(2^k 2 pi z), cos(2^k 2 pi z) that join the input; () for none.
      gamma_min, gamma_max: the range of gamma, which the embedding maps to [0, 1000].
      dropout: probability that an activation is dropped.
      dtype: type of computation; parameters and output are float32.

    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B], class_labels=[B or 1, label_dim] or None,
      augment_labels=[B, augment_dim] or None, train=False, rngs={"dropout": key}) -> [B, H, W, C], where x is z and
      noise_labels are gamma.
    Raises: ValueError for a width that does not split into 32 groups of norm, an empty range of gamma, and shapes that
      do not fit the attributes, before anything is compiled.
    Reference: Kingma et al. 2021, Appendix B; section 3.4 for the Fourier features.
    Example:
      >>> import jax
      >>> net, x = VDMUNet(8, 1, model_channels=32, num_blocks=1), jnp.zeros((2, 8, 8, 1))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, jnp.zeros(2))[0].shape
      (2, 8, 8, 1)
    """

    img_resolution: int
    in_channels: int
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int = 128
    num_blocks: int = 32
    attention: bool = False
    fourier_exponents: Sequence[int] = (6, 7)
    gamma_min: float = -13.3
    gamma_max: float = 5.0
    dropout: float = 0.1
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
        self._check_attributes()
        check_inputs(self, x, noise_labels, class_labels, augment_labels)
        z = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        emb = self._embed(noise_labels, class_labels, augment_labels)
        block = lambda x, name: VDMBlock(self.model_channels, self.dropout, self.dtype, name=name)(x, emb, train)  # noqa: E731
        attend = lambda x, name: VDMAttention(self.dtype, name=name)(x) if self.attention else x  # noqa: E731

        features = jnp.concatenate([z, base2_fourier(z, self.fourier_exponents)], axis=-1)
        x = Conv(self.model_channels, 3, kernel_init=FAN_IN, dtype=self.dtype, name="conv_in")(features)
        skips = [x]
        for index in range(self.num_blocks):
            x = attend(block(x, f"down.block_{index}"), f"down.attn_{index}")
            skips.append(x)
        x = block(x, "mid.block_1")
        x = VDMAttention(self.dtype, name="mid.attn_1")(x)
        x = block(x, "mid.block_2")
        for index in range(self.num_blocks + 1):
            x = jnp.concatenate([x, skips.pop()], axis=-1)
            x = attend(block(x, f"up.block_{index}"), f"up.attn_{index}")
        x = nn.silu(nn.GroupNorm(dtype=self.dtype, name="GroupNorm_0")(x))
        x = Conv(self.in_channels, 3, kernel_init=ZEROS, dtype=self.dtype, name="conv_out")(x)
        return z + x.astype(z.dtype)  # where there is mostly noise, z is already a good guess of it

    def _check_attributes(self) -> None:
        if self.model_channels < 32 or self.model_channels % 32:
            raise ValueError(
                f"model_channels must be a multiple of 32, the groups of a norm, got {self.model_channels}"
            )
        if not self.gamma_min < self.gamma_max:
            raise ValueError(f"gamma_min must be below gamma_max, got {self.gamma_min} and {self.gamma_max}")

    def _embed(self, gamma: Array, *labels: Array | None) -> Array:
        """[B or 1, 4 * model_channels] from gamma and the labels; missing labels are zeros."""
        t = (jnp.asarray(gamma).reshape(-1) - self.gamma_min) / (self.gamma_max - self.gamma_min)
        parts = [positional(1000 * t, self.model_channels)]
        for label, dim in zip(labels, (self.label_dim, self.augment_dim), strict=True):
            parts.append(jnp.zeros((1, dim), t.dtype) if label is None else label)
        rows = max(part.shape[0] for part in parts)
        emb = jnp.concatenate([jnp.broadcast_to(part, (rows, part.shape[1])) for part in parts], axis=1)
        for name in ("dense0", "dense1"):
            emb = nn.silu(nn.Dense(4 * self.model_channels, dtype=self.dtype, kernel_init=FAN_IN, name=name)(emb))
        return emb


class VDMBlock(nn.Module):
    """norm, SiLU, conv, + embedding, norm, SiLU, dropout, conv, + skip.

    Attributes:
      features: output channels.
      dropout: probability that an activation is dropped.
      dtype: type of computation; parameters are float32.
    Call: block.apply(params, x [B, H, W, C], emb [B or 1, E], train) -> [B, H, W, features].
    Reference: Kingma et al. 2021, Appendix B.
    Example:
      >>> import jax
      >>> block, x, emb = VDMBlock(64, 0.1, None), jnp.zeros((2, 4, 4, 32)), jnp.zeros((2, 3))
      >>> jax.eval_shape(lambda *a: block.init_with_output(*a, False), jax.random.key(0), x, emb)[0].shape
      (2, 4, 4, 64)
    """

    features: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Image, emb: Array, train: bool) -> Image:
        h = nn.silu(nn.GroupNorm(dtype=self.dtype, name="GroupNorm_0")(x))
        h = Conv(self.features, 3, kernel_init=FAN_IN, dtype=self.dtype, name="conv1")(h)
        project = nn.Dense(self.features, False, self.dtype, kernel_init=ZEROS, name="cond_proj")
        h = nn.silu(nn.GroupNorm(dtype=self.dtype, name="GroupNorm_1")(h + project(emb)[:, None, None]))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = Conv(self.features, 3, kernel_init=ZEROS, dtype=self.dtype, name="conv2")(h)
        if x.shape[-1] != self.features:
            x = nn.Dense(self.features, dtype=self.dtype, kernel_init=FAN_IN, name="nin_shortcut")(x)
        return x + h


class VDMAttention(nn.Module):
    """x + W softmax(q k^T / sqrt(C)) v, one head over all pixels of the normed image.

    Attributes:
      dtype: type of computation; parameters are float32.
    Call: block.apply(params, x [B, H, W, C]) -> [B, H, W, C].
    Reference: Kingma et al. 2021, Appendix B.
    Example:
      >>> import jax
      >>> jax.eval_shape(VDMAttention(None).init_with_output, jax.random.key(0), jnp.zeros((2, 4, 4, 32)))[0].shape
      (2, 4, 4, 32)
    """

    dtype: Any

    @nn.compact
    def __call__(self, x: Image) -> Image:
        batch, height, width, channels = x.shape
        dense = lambda name, init: nn.Dense(channels, dtype=self.dtype, kernel_init=init, name=name)  # noqa: E731
        h = nn.GroupNorm(dtype=self.dtype, name="GroupNorm_0")(x).reshape(batch, height * width, 1, channels)
        h = attention(*(dense(name, FAN_IN)(h) for name in ("q", "k", "v")))
        return x + dense("proj_out", ZEROS)(h.reshape(x.shape))


def base2_fourier(z: Image, exponents: Sequence[int]) -> Image:
    """Return sin(2^k 2 pi z), cos(2^k 2 pi z) for each k, which let the network see the last bits of an 8-bit image.

    Args:
      z: [B, H, W, C].
      exponents: k; 6 and 7 have 64 and 128 periods a unit, as 256 grey values in [-1, 1] lie 1/128 apart.
    Returns: [B, H, W, 2 * C * len(exponents)].
    Reference: Kingma et al. 2021, section 3.4 and Appendix C, where n = k + 1.
    Example:
      >>> base2_fourier(jnp.zeros((1, 1, 1, 1)), (0, 1)).tolist()
      [[[[0.0, 0.0, 1.0, 1.0]]]]
    """
    periods = 2.0 ** jnp.asarray(exponents, z.dtype)
    angle = (2 * jnp.pi * z[..., None] * periods[None, None, None, None]).reshape(*z.shape[:-1], -1)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
