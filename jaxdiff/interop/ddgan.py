"""Published denoising diffusion GANs: the options of the authors' command line to networks, `.pth` files to params."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import keys
from jaxdiff.interop.inert import CheckpointFormatError
from jaxdiff.interop.score_sde import DECODER, ENCODER
from jaxdiff.interop.score_sde_params import Part, parts, rename, without_time
from jaxdiff.interop.state_dict import read, to_params, unwrapped
from jaxdiff.nets.conditioning import check_choices
from jaxdiff.nets.ddgan import Generator
from jaxdiff.nets.ddgan_blocks import LatentBlock, OneNormBlock
from jaxdiff.nets.ddgan_discriminator import Discriminator
from jaxdiff.nets.unet_frame import check_taps
from jaxdiff.types import Params


@dataclass(frozen=True)
class Options:
    """Options of a generator, spelled as the authors' command line spells them; the defaults are its defaults, and for
    ch_mult, which has none, CIFAR-10's. num_timesteps is the process's T. Left out are `centered`, as the shift of data
    from [0, 1] is the caller's, and `fourier_scale`, as published frequencies are parameters.
    """

    image_size: int = 32
    num_channels: int = 3
    num_channels_dae: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 2, 2)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    dropout: float = 0.0
    resamp_with_conv: bool = True
    conditional: bool = True
    fir: bool = True
    fir_kernel: tuple[int, ...] = (1, 3, 3, 1)
    skip_rescale: bool = True
    resblock_type: Literal["biggan", "biggan_oneadagn", "ddpm"] = "biggan"
    progressive: Literal["none", "output_skip", "residual"] = "none"
    progressive_input: Literal["none", "input_skip", "residual"] = "residual"
    progressive_combine: Literal["sum", "cat"] = "sum"
    embedding_type: Literal["positional", "fourier"] = "positional"
    not_use_tanh: bool = False
    nz: int = 100
    z_emb_dim: int = 256
    n_mlp: int = 3
    num_timesteps: int = 4


CIFAR10 = Options(n_mlp=4)
"""The released CIFAR-10 model, by the command of the authors' README."""
CELEBA_HQ_256 = Options(image_size=256, num_channels_dae=64, ch_mult=(1, 1, 2, 2, 4, 4), num_timesteps=2)
"""The released CelebA-HQ model, likewise."""
LSUN_CHURCH_256 = Options(image_size=256, num_channels_dae=64, ch_mult=(1, 1, 2, 2, 4, 4))
"""LSUN Church, likewise."""

RELEASED = {"netG_1200.pth": CIFAR10, "netG_550.pth": CELEBA_HQ_256, "netG_500.pth": LSUN_CHURCH_256}
"""The published files, which are called by their epoch, by the commands of the authors' README."""


def network(options: Options) -> Generator:
    """The generator that the options describe, for images in [-1, 1]. A "fourier" embedding takes log(t).

    Raises: ValueError for a choice that is none of those allowed, and a fir_kernel that is no row of even length.
    """
    check_choices(options)
    check_taps("fir_kernel", options.fir_kernel)
    return Generator(
        options.image_size,
        options.num_channels,
        options.num_channels,
        model_channels=options.num_channels_dae,
        channel_mult=options.ch_mult,
        num_blocks=options.num_res_blocks,
        attn_resolutions=options.attn_resolutions,
        dropout=options.dropout,
        embedding_type=options.embedding_type,
        encoder_type=ENCODER[options.progressive_input],
        decoder_type=DECODER[options.progressive],
        encoder_combine=options.progressive_combine,
        resample_filter=options.fir_kernel if options.fir else None,
        resblock_updown=options.resblock_type != "ddpm",
        skip_scale=0.5**0.5 if options.skip_rescale else 1.0,
        latent_dim=options.nz,
        map_features=options.z_emb_dim,
        map_layers=options.n_mlp,
        block=OneNormBlock if options.resblock_type == "biggan_oneadagn" else LatentBlock,
        conditional=options.conditional,
        resample_conv=options.resamp_with_conv,
        tanh=not options.not_use_tanh,
    )


def load_ddgan(path: str | Path, options: Options) -> tuple[Generator, Params]:
    """A published generator, ready to draw x0 in the sampling loop.

    Args:
      path: such as "netG_1200.pth", a bare state dict of averaged parameters; read without executing anything in it.
      options: of the model, such as `CIFAR10`.
    Returns: (net, params), float32.
    Raises: CheckpointFormatError (a ValueError) naming what is missing, unknown, or of another shape; OSError.
    Reference: Xiao et al. 2022. Tested on small files of this format; the published ones could not be had here.
    """
    net, state_dict = network(options), read(path)
    try:
        return net, params_of_generator(net, state_dict)
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{Path(path).name}: {error}") from None


def params_of_generator(net: Generator, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Parameters of a `Generator` from a state dict, whose names may have what `unwrapped` takes from them.

    Raises: CheckpointFormatError naming what is missing, unknown, or of another shape.
    """
    named = {f"all_modules.{index}": part for index, part in enumerate(parts(net))}
    layers = {str(2 * index + 1): f"layer{index}" for index in range(net.map_layers + 1)}
    named["z_transform"] = Part("Sequential", "latent_map", layers)
    bare = unwrapped(state_dict)
    arrays = bare if net.conditional else without_time(bare)
    image = (1, net.img_resolution, net.img_resolution, net.in_channels)
    return _to_params(net, rename(arrays, named), None, image, (1,), (1, net.latent_dim))


def params_of_discriminator(net: Discriminator, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Parameters of a `Discriminator` from a state dict, as `params_of_generator`."""
    image = (1, 64, 64, net.in_channels)
    return _to_params(net, state_dict, discriminator_name, image, image, (1,))


def discriminator_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """The state dict's name of a discriminator's parameter.

    Example:
      >>> [(path, _)] = jax.tree_util.tree_leaves_with_path({"params": {"block0": {"conv1": {"kernel": 1}}}})
      >>> discriminator_name(path)
      'conv1.conv2.0.weight'
    """
    *modules, leaf = (str(entry.key) for entry in path[1:])
    if modules[0].startswith("block"):
        modules[0] = f"conv{int(modules[0].removeprefix('block')) + 1}"
    names = {
        "map_layer0": "t_embed.main.0", "map_layer1": "t_embed.main.2", "stem": "start_conv", "logit": "end_linear",
        "conv0": "conv1.0", "conv1": "conv2.0", "affine": "dense_t1", "skip": "skip.0",
    }  # fmt: skip
    last = names.get(modules[-1], modules[-1])
    return ".".join([*modules[:-1], last, {"kernel": "weight"}.get(leaf, leaf)])


def _to_params(net: Any, arrays: Mapping[str, np.ndarray], name_of: Any, *shapes: tuple[int, ...]) -> Params:
    """Params in the structure that the network has for inputs of these shapes."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    try:
        params = to_params(arrays, jax.eval_shape(net.init, keys.of_seed(0), *inputs), name_of=name_of)
    except ValueError as error:
        raise CheckpointFormatError(str(error)) from None
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.promote_types(a.dtype, jnp.float32)), params)
