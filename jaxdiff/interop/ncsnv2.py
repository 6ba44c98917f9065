"""Published state dicts of NCSNv2 to params.

Names map mechanically: "refine1.crp.convs.0.weight" -> params["refine1"]["crp"]["convs_0"]["kernel"].
"""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.interop.state_dict import abstract_params, to_params
from jaxdiff.nets.refinenet import NCSNv2
from jaxdiff.types import ArrayLike, Params


def params_of(net: NCSNv2, state_dict: Mapping[str, np.ndarray], prefix: str = "") -> Params:
    """Parameters of an `NCSNv2` from a state dict.

    Args:
      net: the network; where it has `sigmas`, they are compared with the buffer of that name, which is then dropped.
      state_dict: name -> array, convolutions as OIHW.
      prefix: of the names that belong to the network, such as "module.".
    Returns: params in the type of the state dict, float32 at least.
    Raises: ValueError naming what is missing, unknown or of another shape, or sigmas other than the network's.
    """
    given = {name.removeprefix(prefix): a for name, a in state_dict.items() if name.startswith(prefix)}
    levels = given.pop("sigmas", None)
    if levels is not None and net.sigmas is not None and not _equal(levels, np.asarray(net.sigmas)):
        raise ValueError(f"sigmas are {np.asarray(levels)} in the checkpoint, {np.asarray(net.sigmas)} in the network")
    params = to_params(given, abstract_params(net), name_of=ncsnv2_name)
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.promote_types(a.dtype, jnp.float32)), params)


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
