"""Published parameters of NCSNv2 to params.

Names of a state dict map mechanically: "refine1.crp.convs.0.weight" -> params["refine1"]["crp"]["convs_0"]["kernel"].
In the original of score SDEs, in Flax, every kind of part is counted: params["RefineBlock_0"]["CRPBlock_0"]["Conv_0"].
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params, float_params, unwrap
from jaxdiff.nets.ncsnv2.refinenet import NCSNv2
from jaxdiff.types import ArrayLike, Params


def params_of(net: NCSNv2, state_dict: Mapping[str, np.ndarray], prefix: str = "") -> Params:
    """Map a state dict to the params of an `NCSNv2`.

    Args:
      net: the network; where it has `sigmas`, they are compared with the buffer of that name, which is then dropped.
      state_dict: name -> array, convolutions as OIHW.
      prefix: of the names that belong to the network, such as "model.".
    Returns: params in the type of the state dict, float32 at least.
    Raises: CheckpointFormatError (a ValueError) naming what is missing, unknown or of another shape, or sigmas other
      than the network's.
    Reference: Song & Ermon 2020, the authors' code.
    Example:
      >>> params_of(NCSNv2(8, 1, 8, (1, 2), (1, 1), sigmas=(2.0, 1.0)), {"sigmas": np.array([3.0, 1.0])})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: sigmas are [3. 1.] in the checkpoint, [2. 1.] ...
    """
    arrays = unwrap(state_dict, prefix)
    levels = arrays.pop("sigmas", None)
    if levels is not None and net.sigmas is not None and not _equal(levels, np.asarray(net.sigmas)):
        raise CheckpointFormatError(
            f"sigmas are {np.asarray(levels)} in the checkpoint, {np.asarray(net.sigmas)} in the network"
        )
    return float_params(arrays, abstract_params(net), ncsnv2_name)


def params_of_flax(net: NCSNv2, params: Mapping[str, Any]) -> Params:
    """Map the nested params of the original of score SDEs to the params of an `NCSNv2`.

    Args:
      net: the network, with population_variance and half_pixel as that code has them, and refine_mult (2, 2, 2, 1).
      params: such as `params_ema` of its checkpoints.
    Returns: as `params_of`.
    Raises: CheckpointFormatError naming what is missing, unknown or of another shape.
    Reference: Song et al. 2021, the authors' score_sde.
    Example:
      >>> params_of_flax(NCSNv2(8, 1, 8, (1, 2), (1, 1)), {})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the state dict lacks Conv_0/bias, ...
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *modules, name = (str(entry.key) for entry in path)
        value = np.asarray(leaf)
        # Norms keep their parameters as [1, 1, 1, C], or as a table of the levels.
        value = value.transpose(3, 2, 0, 1) if name == "kernel" else value.ravel() if value.ndim == 4 else value
        arrays["/".join([*modules, name])] = value
    like = abstract_params(net)
    return float_params(arrays, like, lambda path: flax_name(path, like))


def flax_name(path: tuple[jax.tree_util.DictKey, ...], like: Params) -> str:
    """Return the original's name of a parameter.

    Args:
      path: of the parameter.
      like: params of the structure of the network's.
    Example:
      >>> tree = {"params": {"refine1": {"adapt_convs_0": {"2_1_conv": {"kernel": 1}}}}}
      >>> [(path, _)] = jax.tree_util.tree_leaves_with_path(tree)
      >>> flax_name(path, tree)
      'RefineBlock_0/RCUBlock_0/Conv_2/kernel'
    """
    outer, *inner, leaf = (str(entry.key) for entry in path[1:])
    conditional = "embedding" in like["params"].get("normalizer", ())
    norm = "ConditionalInstanceNorm2dPlus_{}/Embed_0" if conditional else "InstanceNorm2dPlus_{}"
    cond = "Cond" if conditional else ""
    if not inner:
        return {"begin_conv": "Conv_0", "end_conv": "Conv_1"}.get(outer, norm.format(0)) + f"/{leaf}"
    siblings = like["params"][outer]
    if outer.startswith("res"):
        stage, block = outer.removeprefix("res").split("_")
        name = f"{'Conditional' if conditional else ''}ResidualBlock_{2 * int(stage) - 2 + int(block)}"
        return "/".join([name, *_residual(inner, norm), leaf])
    adapted = sum(name.startswith("adapt") for name in siblings)
    part = {"msf": "MSFBlock_0", "crp": "CRPBlock_0", "output_convs": f"RCUBlock_{adapted}"}.get(
        inner[0], f"RCUBlock_{inner[0].removeprefix('adapt_convs_')}"
    )
    numbers = [int(number) for number in re.findall(r"\d+", inner[1])]
    index = numbers[0] if len(numbers) == 1 else 2 * numbers[0] + numbers[1] - 3
    layer = norm.format(index) if "norm" in inner[1] else f"Conv_{index}"
    return f"{cond}RefineBlock_{int(outer.removeprefix('refine')) - 1}/{cond}{part}/{layer}/{leaf}"


def _residual(inner: list[str], norm: str) -> list[str]:
    """Of a residual block's part; the skip's convolution is the last."""
    if inner[0].startswith("normalize"):
        return [norm.format(int(inner[0][-1]) - 1)]
    if inner[-1] == "conv":  # with means of 2x2
        return [f"ConvMeanPool_{('conv2', 'shortcut').index(inner[0])}", "Conv_0"]
    return [f"Conv_{('conv1', 'conv2', 'shortcut').index(inner[0])}"]


def ncsnv2_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """Return the state dict's name of a parameter.

    Example:
      >>> tree = {"params": {"refine1": {"adapt_convs_0": {"1_1_conv": {"kernel": 1}}}}}
      >>> [(path, _)] = jax.tree_util.tree_leaves_with_path(tree)
      >>> ncsnv2_name(path)
      'refine1.adapt_convs.0.1_1_conv.weight'
    """
    *modules, leaf = (str(entry.key) for entry in path[1:])
    return ".".join([*(re.sub(r"_(\d+)$", r".\1", name) for name in modules), {"kernel": "weight"}.get(leaf, leaf)])


def _equal(a: ArrayLike, b: ArrayLike) -> bool:
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-5, atol=0)
