"""Published denoising diffusion GANs: the options of the authors' command line to networks, `.pth` files to params."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.score_sde import frame_options
from jaxdiff.interop.score_sde_params import Part, drop_time_layers, original_modules, rename_arrays
from jaxdiff.interop.state_dict import abstract_params, float_params, read_state_dict, unwrap
from jaxdiff.nets.checks import check_choices, check_taps
from jaxdiff.nets.ddgan.blocks import LatentBlock, OneNormBlock
from jaxdiff.nets.ddgan.discriminator import Discriminator
from jaxdiff.nets.ddgan.generator import Generator
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
"""The published CIFAR-10 model, by the command of the authors' README."""
CELEBA_HQ_256 = Options(image_size=256, num_channels_dae=64, ch_mult=(1, 1, 2, 2, 4, 4), num_timesteps=2)
"""The published CelebA-HQ model, likewise."""
LSUN_CHURCH_256 = Options(image_size=256, num_channels_dae=64, ch_mult=(1, 1, 2, 2, 4, 4))
"""LSUN Church, likewise."""

PUBLISHED = {"netG_1200.pth": CIFAR10, "netG_550.pth": CELEBA_HQ_256, "netG_500.pth": LSUN_CHURCH_256}
"""The published files, which are called by their epoch, by the commands of the authors' README."""


def network(options: Options) -> Generator:
    """Make the generator that the options describe, for images in [-1, 1]. A "fourier" embedding takes log(t).

    Raises: ValueError for a choice that is none of those allowed, and a fir_kernel that is not of even length.
    Reference: Xiao et al. 2022, Appendix C.1 and the authors' code.
    Example:
      >>> network(CIFAR10).map_layers, network(CELEBA_HQ_256).img_resolution
      (4, 256)
    """
    check_choices(options)
    check_taps("fir_kernel", options.fir_kernel)
    return Generator(
        **frame_options(options),
        model_channels=options.num_channels_dae,
        embedding_type=options.embedding_type,
        resblock_updown=options.resblock_type != "ddpm",
        skip_scale=0.5**0.5 if options.skip_rescale else 1.0,
        latent_dim=options.nz,
        map_features=options.z_emb_dim,
        map_layers=options.n_mlp,
        block=OneNormBlock if options.resblock_type == "biggan_oneadagn" else LatentBlock,
        tanh=not options.not_use_tanh,
    )


def load_ddgan(path: str | Path, options: Options) -> tuple[Generator, Params]:
    """Load a published generator, ready to draw x0 in the sampling loop.

    Args:
      path: such as "netG_1200.pth", a bare state dict of averaged parameters; read without executing anything in it.
      options: of the model, such as `CIFAR10`.
    Returns: (net, params), float32.
    Raises: CheckpointFormatError (a ValueError) naming what is missing, unknown, or of another shape; OSError.
    Reference: Xiao et al. 2022. Tested on small files of this format; the published ones could not be had here.
    Example:
      >>> load_ddgan("netG_1200.pth", CIFAR10)
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'netG_1200.pth'
    """
    net, state_dict = network(options), read_state_dict(path)
    try:
        return net, params_of_generator(net, state_dict)
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{Path(path).name}: {error}") from None


def params_of_generator(net: Generator, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Map a state dict to the params of a `Generator`.

    Args:
      net: the network.
      state_dict: name -> array; `unwrap` says what names may contain besides.
    Returns: params, float32 or better.
    Raises: CheckpointFormatError naming what is missing, unknown, or of another shape.
    Example:
      >>> params_of_generator(network(CIFAR10), {"all_modules.99.weight": np.zeros(1)})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the network has no all_modules.99.weight
    """
    named = {f"all_modules.{index}": part for index, part in enumerate(original_modules(net))}
    layers = {str(2 * index + 1): f"layer{index}" for index in range(net.map_layers + 1)}
    named["z_transform"] = Part("Sequential", "latent_map", layers)
    bare = unwrap(state_dict)
    arrays = bare if net.conditional else drop_time_layers(bare)
    image = (1, net.img_resolution, net.img_resolution, net.in_channels)
    return float_params(rename_arrays(arrays, named), abstract_params(net, image, (1,), (1, net.latent_dim)))


def params_of_discriminator(net: Discriminator, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Map a state dict to the params of a `Discriminator`.

    Args:
      net: the network; state_dict: name -> array.
    Returns, Raises: as `params_of_generator`.
    Example:
      >>> params_of_discriminator(Discriminator(3), {})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the state dict lacks conv1.conv1.0.bias, ...
    """
    image = (1, 64, 64, net.in_channels)
    return float_params(state_dict, abstract_params(net, image, image, (1,)), discriminator_name)


def discriminator_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """Return the state dict's name of a discriminator's parameter.

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
