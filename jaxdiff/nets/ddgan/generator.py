"""The generator of denoising diffusion GANs: NCSN++ that a latent enters through adaptive group norm."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_image
from jaxdiff.nets.conditioning import Conditioning
from jaxdiff.nets.ddgan.blocks import LatentBlock, LatentMap
from jaxdiff.nets.initialisers import xavier_uniform
from jaxdiff.nets.layers import remat_block
from jaxdiff.nets.resampling import Resample
from jaxdiff.nets.unet.song_frame import DownFilter, EncoderType, UNetFrame
from jaxdiff.types import Array, Image


class Generator(UNetFrame):
    """G(x_t, t, z) = x0, a draw from p(x0 | x_t). The defaults are the authors' for CIFAR-10.

    Attributes: those of `UNetFrame`, and
      latent_dim: length of z.
      map_features, map_layers: width of the mapped latent, and hidden layers of the mapping network.
      block: `LatentBlock`, or `OneNormBlock` where only the first norm of each block sees the latent.
      tanh: whether images are bounded to [-1, 1].

    Call: net.apply(params, x [B, H, W, C], noise_labels [] or [B], z [B, latent_dim], train=False,
      rngs={"dropout": key}) -> [B, H, W, out_channels]. The noise labels are what is embedded: indices 0 .. T - 1 for
      "positional", log(t) for "fourier", where the authors' code takes t > 0 and the logarithm itself.
    Raises: ValueError for attributes out of range and shapes that do not fit them, before anything is compiled.
    Reference: Xiao et al. 2022, Appendix C.1; Song et al. 2021, Appendix H.
    Example:
      >>> import jax
      >>> net = Generator(8, 1, 1, model_channels=8, channel_mult=(1, 2), num_blocks=1, latent_dim=5)
      >>> inputs = jnp.zeros((2, 8, 8, 1)), jnp.zeros(2), jnp.zeros((2, 5))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), *inputs)[0].shape
      (2, 8, 8, 1)
    """

    num_blocks: int = 2
    dropout: float = 0.0
    encoder_type: EncoderType = "residual"
    resample_filter: Sequence[float] | None = (1, 3, 3, 1)
    down_filter: DownFilter = "convolve"
    latent_dim: int = 100
    map_features: int = 256
    map_layers: int = 4
    block: type[LatentBlock] = LatentBlock
    tanh: bool = True

    @nn.compact
    def __call__(self, x: Image, noise_labels: Array, z: Array, train: bool = False) -> Image:
        self._check_attributes()
        check_image(self, x, noise_labels)
        if z.shape != (x.shape[0], self.latent_dim):
            raise ValueError(f"z must be [{x.shape[0]}, {self.latent_dim}] for this network, got {list(z.shape)}")
        out_type = jnp.promote_types(x.dtype, jnp.float32)
        x = x if self.dtype is None else x.astype(self.dtype)
        time = None
        if self.conditional:
            width = self.model_channels * (2 if self.embedding_type == "fourier" else 1)
            time = Conditioning(
                width, 4 * self.model_channels, 0, 0, 0.0, self.embedding_type, xavier_uniform(), self.dtype, name="map"
            )(x.shape[0], jnp.asarray(noise_labels, out_type), None, None, train)
        emb = (LatentMap(self.map_features, self.map_layers, self.dtype, name="latent_map")(z), time)
        x = self._decode(*self._encode(x, emb, train), emb, train).astype(out_type)
        return jnp.tanh(x) if self.tanh else x

    def _block(self, features: int, name: str, attend: bool = False, direction: Resample = None) -> nn.Module:
        return remat_block(self.block, self.remat)(
            features,
            direction,
            self._taps(direction),
            num_heads=int(attend),
            dropout=self.dropout,
            skip_scale=self.skip_scale,
            group_channels=self.group_channels,
            dtype=self.dtype,
            name=name,
        )
