"""Published parameters of NCSNv2 to params.

Names of a state dict map mechanically: "refine1.crp.convs.0.weight" -> params["refine1"]["crp"]["convs_0"]["kernel"].
In the original of score SDEs, in Flax, every kind of part is counted: params["RefineBlock_0"]["CRPBlock_0"]["Conv_0"].
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.interop.state_dict import abstract_params, to_params, unwrapped
from jaxdiff.nets.refinenet import NCSNv2
from jaxdiff.types import ArrayLike, Params


def params_of(net: NCSNv2, state_dict: Mapping[str, np.ndarray], prefix: str = "") -> Params:
    """Parameters of an `NCSNv2` from a state dict.

    Args:
      net: the network; where it has `sigmas`, they are compared with the buffer of that name, which is then dropped.
      state_dict: name -> array, convolutions as OIHW.
      prefix: of the names that belong to the network, such as "model.".
    Returns: params in the type of the state dict, float32 at least.
    Raises: ValueError naming what is missing, unknown or of another shape, or sigmas other than the network's.
    """
    given = unwrapped(state_dict, prefix)
    levels = given.pop("sigmas", None)
    if levels is not None and net.sigmas is not None and not _equal(levels, np.asarray(net.sigmas)):
        raise ValueError(f"sigmas are {np.asarray(levels)} in the checkpoint, {np.asarray(net.sigmas)} in the network")
    params = to_params(given, abstract_params(net), name_of=ncsnv2_name)
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.promote_types(a.dtype, jnp.float32)), params)


def params_of_flax(net: NCSNv2, params: Mapping[str, Any]) -> Params:
    """Parameters of an `NCSNv2` from the nested params of the original of score SDEs.

    Args:
      net: the network, with population_variance and half_pixel as that code has them, and refine_mult (2, 2, 2, 1).
      params: such as `params_ema` of its checkpoints.
    Returns: as `params_of`.
    Raises: ValueError naming what is missing, unknown or of another shape.
    """
    given = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *modules, name = (str(entry.key) for entry in path)
        value = np.asarray(leaf)
        # Norms keep their parameters as [1, 1, 1, C], or as a table of the levels.
        value = value.transpose(3, 2, 0, 1) if name == "kernel" else value.ravel() if value.ndim == 4 else value
        given["/".join([*modules, name])] = value
    like = abstract_params(net)
    found = to_params(given, like, name_of=lambda path: flax_name(path, like))
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.promote_types(a.dtype, jnp.float32)), found)


def flax_name(path: tuple[jax.tree_util.DictKey, ...], like: Params) -> str:
    """The original's name of a parameter of a network whose params have the structure `like`.

    Example:
      >>> tree = {"params": {"refine1": {"adapt_convs_0": {"2_1_conv": {"kernel": 1}}}}}
      >>> [(path, _)] = jax.tree_util.tree_leaves_with_path(tree)
      >>> flax_name(path, tree)
      'RefineBlock_0/RCUBlock_0/Conv_2/kernel'
    """
    outer, *inner, leaf = (str(entry.key) for entry in path[1:])
    told = "embedding" in like["params"].get("normalizer", ())
    norm = "ConditionalInstanceNorm2dPlus_{}/Embed_0" if told else "InstanceNorm2dPlus_{}"
    cond = "Cond" if told else ""
    if not inner:
        return {"begin_conv": "Conv_0", "end_conv": "Conv_1"}.get(outer, norm.format(0)) + f"/{leaf}"
    siblings = like["params"][outer]
    if outer.startswith("res"):
        stage, block = outer.removeprefix("res").split("_")
        name = f"{'Conditional' if told else ''}ResidualBlock_{2 * int(stage) - 2 + int(block)}"
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
    """The state dict's name of a parameter.

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
