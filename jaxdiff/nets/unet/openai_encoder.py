"""The encoder that OpenAI's U-Net and classifier share, with the names of the published weights."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.nets.checks import check_halvings
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.embeddings import positional
from jaxdiff.nets.layers import remat_block
from jaxdiff.nets.unet.openai_block import DEFAULT, Downsample, ResBlock, SelfAttention, dense
from jaxdiff.types import Array, Image


def time_embedding(net: Any, noise_labels: Array, dtype: Any) -> Array:
    """Embed the noise label as sinusoids through two layers, made inside the network that calls it.

    Args:
      net: the network, of model_channels and dtype.
      noise_labels: [] or [B].
      dtype: in which the sinusoids are computed.
    Returns: [B or 1, 4 * model_channels].
    Reference: Nichol & Dhariwal 2021, Appendix A.
    Example:
      >>> import jax
      >>> from jaxdiff.nets.unet import GuidedUNet
      >>> class Net(GuidedUNet):
      ...     @nn.compact
      ...     def __call__(self, t):
      ...         return time_embedding(self, t, jnp.float32)
      >>> net = Net(8, 1, 1, model_channels=32)
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), jnp.zeros(3))[0].shape
      (3, 128)
    """
    t = jnp.asarray(noise_labels).reshape(-1).astype(dtype)
    emb = positional(t, net.model_channels, end_point=False, cosine_first=True)
    width = 4 * net.model_channels
    emb = nn.silu(dense(width, net.model_channels, "time_embed_0", net.dtype)(emb))
    return dense(width, width, "time_embed_2", net.dtype)(emb)


def encode(net: Any, x: Image, emb: Array, train: bool) -> tuple[Image, list[Image]]:
    """Encode an image: the encoder and the middle of a network, made inside the network that calls it.

    Args:
      net: the network, with the attributes of `GuidedUNet`.
      x: [B, H, W, C]; emb: of the time, [B or 1, E]; train: whether dropout acts.
    Returns: the middle's output, and every output on the way, for the decoder.
    Reference: Dhariwal & Nichol 2021, section 3.
    Example:
      >>> import jax
      >>> from jaxdiff.nets.unet import GuidedUNet
      >>> class Net(GuidedUNet):
      ...     @nn.compact
      ...     def __call__(self, x, emb):
      ...         return encode(self, x, emb, False)[0]
      >>> net, x, emb = Net(8, 1, 1, 0, 32, (1, 2), num_blocks=1), jnp.zeros((3, 8, 8, 1)), jnp.zeros((3, 9))
      >>> jax.eval_shape(net.init_with_output, jax.random.key(0), x, emb)[0].shape
      (3, 4, 4, 64)
    """
    stem = net.stem_channels or int(net.model_channels * net.channel_mult[0])
    x = Conv(stem, 3, kernel_init=DEFAULT, bias_scale=1.0, dtype=net.dtype, name="input_blocks_0_0")(x)
    skips = [x]
    for halvings, mult in enumerate(net.channel_mult):
        res, features = net.img_resolution >> halvings, int(net.model_channels * mult)
        for _ in range(net.num_blocks):
            name = f"input_blocks_{len(skips)}"
            x = residual_block(net, features, f"{name}_0")(x, emb, train)
            if res in net.attn_resolutions:
                x = attention_block(net, x, net.num_heads, f"{name}_1")
            skips.append(x)
        if halvings < len(net.channel_mult) - 1:
            name = f"input_blocks_{len(skips)}_0"
            if net.resblock_updown:
                x = residual_block(net, features, name, "down")(x, emb, train)
            else:
                x = Downsample(net.conv_resample, net.dtype, name=name)(x)
            skips.append(x)
    x = residual_block(net, x.shape[-1], "middle_block_0")(x, emb, train)
    x = attention_block(net, x, net.num_heads, "middle_block_1")
    return residual_block(net, x.shape[-1], "middle_block_2")(x, emb, train), skips


def residual_block(net: Any, features: int, name: str, direction: Any = None) -> nn.Module:
    """Make a residual block with the network's options.

    Args:
      net: the network, with the attributes of `GuidedUNet`.
      features: output channels; name: of the block; direction: "up", "down" or None.
    Returns: a `ResBlock`.
    Example:
      >>> from jaxdiff.nets.unet import GuidedUNet
      >>> residual_block(GuidedUNet(8, 1, 1, dropout=0.3), 64, "block").dropout
      0.3
    """
    return remat_block(ResBlock, net.remat)(features, direction, net.adaptive_scale, net.dropout, net.dtype, name=name)


def attention_block(net: Any, x: Image, num_heads: int, name: str) -> Image:
    """Attend among positions with the network's options, by a block made inside the network that calls it.

    Args:
      net: the network, with the attributes of `GuidedUNet`.
      x: [B, H, W, C]; num_heads: unless the network has head_channels; name: of the block.
    Returns: [B, H, W, C].
    Raises: ValueError when head_channels does not divide C.
    Example:
      >>> from jaxdiff.nets.unet import GuidedUNet
      >>> attention_block(GuidedUNet(8, 1, 1, head_channels=48), jnp.zeros((1, 4, 4, 64)), 1, "middle")
      Traceback (most recent call last):
      ValueError: head_channels=48 must divide the 64 channels of middle
    """
    heads = x.shape[-1] // net.head_channels if net.head_channels else num_heads
    if net.head_channels and x.shape[-1] % net.head_channels:
        raise ValueError(f"head_channels={net.head_channels} must divide the {x.shape[-1]} channels of {name}")
    return SelfAttention(heads, net.new_attention_order, net.dtype, name=name)(x)


def check_attributes(net: Any) -> None:
    """Raise ValueError unless every resolution is whole, every width a multiple of 32, dropout a probability.

    Raises: ValueError, which names the attribute.
    Example:
      >>> from jaxdiff.nets.unet import GuidedUNet
      >>> check_attributes(GuidedUNet(8, 1, 1, channel_mult=(1, 2), dropout=1.0))
      Traceback (most recent call last):
      ValueError: dropout must be in [0, 1), got 1.0
    """
    check_halvings(net.img_resolution, len(net.channel_mult) - 1)
    stem = net.stem_channels or int(net.model_channels * net.channel_mult[0])
    for width in (stem, *(int(net.model_channels * mult) for mult in net.channel_mult)):
        if width < 32 or width % 32:
            raise ValueError(f"every width must be a multiple of 32, the groups of norm, got {width}")
    if not 0 <= net.dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {net.dropout}")
