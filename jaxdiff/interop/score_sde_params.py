"""Params of a `SongUNet` from score SDE's published weights, which are named by the order in which parts are made.

The PyTorch port has one count, "all_modules.7.Conv_0.weight"; the original, in Flax, a count for each kind of module,
params["ResnetBlockBigGANpp_3"]["Conv_0"]["kernel"].
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params, float_params, unwrap
from jaxdiff.nets.unet.song import SongUNet
from jaxdiff.nets.unet.song_frame import UNetFrame
from jaxdiff.types import Params

RESIDUAL = {
    "GroupNorm_0": "norm0", "Conv_0": "conv0", "Dense_0": "affine", "GroupNorm_1": "norm1", "Conv_1": "conv1",
    "Conv_2": "skip", "NIN_0": "skip",
}  # fmt: skip
ATTENTION = {"GroupNorm_0": "norm2", "NIN_0": "qkv.0", "NIN_1": "qkv.1", "NIN_2": "qkv.2", "NIN_3": "proj"}
SINGLE = {"Conv_0": "", "Conv2d_0": ""}
TIME_FREQUENCIES = r"(all_modules\.0|GaussianFourierProjection_0)\.W"


class Part(NamedTuple):
    """A module of the original by its kind, our name of it, and our names of what it holds."""

    kind: str
    ours: str
    inner: Mapping[str, str] = SINGLE


def params_of_torch(net: SongUNet, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Map the PyTorch port's state dict to params.

    Args:
      net: the network, as `score_sde.network` makes it.
      state_dict: name -> array, "all_modules.7.Conv_0.weight" and so on; sigmas are dropped.
    Returns: params, float32 or better.
    Raises: CheckpointFormatError naming what is missing, unknown, or of another shape.
    Reference: Song et al. 2021, the authors' score_sde_pytorch.
    Example:
      >>> params_of_torch(SongUNet(8, 1, 1, model_channels=8), {"all_modules.99.weight": np.zeros(1)})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the network has no all_modules.99.weight
    """
    named = {f"all_modules.{index}": part for index, part in enumerate(original_modules(net))}
    arrays = {name: value for name, value in unwrap(state_dict).items() if not name.endswith("sigmas")}
    return _to_params(net, arrays, named)


def params_of_flax(net: SongUNet, params: Mapping[str, Any]) -> Params:
    """Map the original's nested params, in Flax, to params.

    Args:
      net: as `params_of_torch`.
      params: such as `params_ema` of its checkpoints.
    Returns: params, float32 or better.
    Raises: CheckpointFormatError as `params_of_torch`.
    Reference: Song et al. 2021, the authors' score_sde.
    Example:
      >>> params_of_flax(SongUNet(8, 1, 1, model_channels=8), {"Conv_99": {"bias": np.zeros(1)}})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the network has no Conv_99.bias
    """
    count: Counter[str] = Counter()
    named = {}
    for part in original_modules(net):
        named[f"{part.kind}_{count[part.kind]}"] = part
        count[part.kind] += 1
    arrays = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *modules, name = (str(entry.key) for entry in path)
        value = np.asarray(leaf)
        if value.ndim == 4:  # HWIO; filtered convolutions call theirs "weight"
            value = value.transpose(3, 2, 0, 1)
        elif name in ("kernel", "w"):
            value = value.T
        arrays[".".join([*modules, {"kernel": "weight", "w": "weight", "scale": "weight"}.get(name, name)])] = value
    return _to_params(net, arrays, named)


def drop_time_layers(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop the layers of the noise level, which an unconditional network carries all the same and never uses.

    Example:
      >>> list(drop_time_layers({"all_modules.3.Dense_0.weight": 1, "all_modules.3.Conv_0.weight": 2}))
      ['all_modules.3.Conv_0.weight']
    """
    return {
        name: a for name, a in arrays.items() if ".Dense_0." not in name and not re.fullmatch(TIME_FREQUENCIES, name)
    }


def original_modules(net: UNetFrame) -> Iterator[Part]:
    """List all modules that the original counts, in the order in which it makes them; some may have no parameters.

    Args:
      net: a `SongUNet` or a DDGAN `Generator`.
    Example:
      >>> [part.ours for part in original_modules(SongUNet(8, 1, 1, channel_mult=(1,), num_blocks=1))][:4]
      ['map_layer0', 'map_layer1', 'enc.8x8_conv', 'enc.8x8_block0']
    """
    suffix = "" if net.group_channels == 1 else "pp"  # DDPM's own network has its own classes
    residual = f"ResnetBlock{'BigGAN' if net.resblock_updown else 'DDPM'}{suffix}"

    def block(name: str, attend: bool = False) -> Iterator[Part]:
        yield Part(residual, name, RESIDUAL)
        if attend:
            yield Part(f"AttnBlock{suffix}", name, ATTENTION)

    def resampling(name: str, kind: str) -> Iterator[Part]:
        yield Part(residual, name, RESIDUAL) if net.resblock_updown else Part(kind, name)

    if net.embedding_type == "fourier":
        yield Part("GaussianFourierProjection", "map_noise")
    if net.conditional:
        yield from [Part("Dense", "map_layer0"), Part("Dense", "map_layer1")]
    last = len(net.channel_mult) - 1
    for halvings in range(last + 1):
        res = net.img_resolution >> halvings
        prefix = f"enc.{res}x{res}"
        if halvings == 0:
            yield Part("Conv", f"{prefix}_conv")
        else:
            yield from resampling(f"{prefix}_down", "Downsample")
        if halvings and net.encoder_type == "skip":
            yield Part("Combine", f"{prefix}_aux_skip")
        if halvings and net.encoder_type == "residual":
            yield Part("Downsample", f"{prefix}_aux_residual")
        for index in range(net.num_blocks):
            yield from block(f"{prefix}_block{index}", res in net.attn_resolutions)
    for halvings in range(last, -1, -1):
        res = net.img_resolution >> halvings
        prefix = f"dec.{res}x{res}"
        if halvings == last:
            yield from [*block(f"{prefix}_in0", True), *block(f"{prefix}_in1")]
        else:
            yield from resampling(f"{prefix}_up", "Upsample")
        for index in range(net.num_blocks + 1):
            yield from block(f"{prefix}_block{index}", index == net.num_blocks and res in net.attn_resolutions)
        if halvings != last and net.decoder_type == "residual":
            yield Part("Upsample", f"{prefix}_aux_residual")
        if halvings == 0 or net.decoder_type == "skip" or (halvings == last and net.decoder_type == "residual"):
            yield from [Part("GroupNorm", f"{prefix}_aux_norm"), Part("Conv", f"{prefix}_aux_conv")]


def rename_arrays(arrays: Mapping[str, np.ndarray], named: Mapping[str, Part]) -> dict[str, np.ndarray]:
    """Rename arrays in the port's layout as `published_name` names our params.

    Args:
      arrays: name -> array.
      named: the port's name of a module -> its `Part`.
    Returns: our published name -> array, queries, keys and values as one.
    Raises: CheckpointFormatError naming what belongs to no part.
    Example:
      >>> named = {"all_modules.3": Part("Conv", "enc.8x8_conv")}
      >>> list(rename_arrays({"all_modules.3.weight": np.zeros((2, 1, 3, 3))}, named))
      ['enc.8x8_conv.weight']
    """
    renamed, queries = {}, set()
    for name, value in arrays.items():
        outer = match.group() if (match := re.match(r"(all_modules\.)?\w+", name)) else ""
        part, (*inner, leaf) = named.get(outer), name[len(outer) + 1 :].split(".")
        if part is None or (inner and inner[0] not in part.inner):
            raise CheckpointFormatError(f"the network has no {name}")
        if inner and leaf == "W" and value.ndim != 2:
            raise CheckpointFormatError(f"{name} has shape {list(value.shape)} in the checkpoint, not [in, out]")
        if leaf == "W":  # of a 1x1 convolution, [in, out], or of the Fourier features
            value, leaf = (value.T[:, :, None, None], "weight") if inner else (value, "freqs")
        middle = ".".join(word for word in (part.inner[inner[0]], *inner[1:]) if word) if inner else ""
        ours = ".".join(word for word in (part.ours, middle, {"b": "bias"}.get(leaf, leaf)) if word)
        renamed[ours] = value
        if middle.startswith("qkv"):
            queries.add(ours.replace(middle, "qkv.{}"))
    for name in queries:
        # Our one convolution orders its outputs as (channel, q|k|v).
        three = [renamed.pop(name.format(i), np.zeros(0)) for i in range(3)]
        if len({a.shape for a in three}) > 1:
            raise CheckpointFormatError(f"queries, keys and values of {name.split('.qkv')[0]} do not match")
        renamed[name.replace(".{}", "")] = np.stack(three, axis=1).reshape(-1, *three[0].shape[1:])
    return renamed


def _to_params(net: SongUNet, arrays: Mapping[str, np.ndarray], named: Mapping[str, Part]) -> Params:
    arrays = arrays if net.conditional else drop_time_layers(arrays)
    return float_params(rename_arrays(arrays, named), abstract_params(net))
