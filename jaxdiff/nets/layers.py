"""Small parts that networks share: activations by name, group norm, recomputation in the backward pass."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn

from jaxdiff.nets.checks import check_choice
from jaxdiff.types import Array

Nonlinearity = Literal["swish", "elu", "relu", "lrelu"]
ACTIVATIONS: dict[Nonlinearity, Callable[[Array], Array]] = {
    "swish": nn.silu,
    "elu": nn.elu,
    "relu": nn.relu,
    "lrelu": functools.partial(nn.leaky_relu, negative_slope=0.2),
}
"""By the names of Song et al.'s configurations."""


def activation(nonlinearity: Nonlinearity) -> Callable[[Array], Array]:
    """Return the activation of a name; "lrelu" is leaky with a slope of 0.2.

    Raises: ValueError for another name.
    Example:
      >>> float(activation("lrelu")(-5.0))
      -1.0
    """
    check_choice("nonlinearity", nonlinearity, Nonlinearity)
    return ACTIVATIONS[nonlinearity]


def remat_block(block: type[nn.Module], remat: bool) -> type[nn.Module]:
    """Wrap a block so that its activations are recomputed in the backward pass, where asked for.

    Only the block's inputs are kept: memory for the activations of one block, at the price of a second forward pass.
    Names and parameters are the block's.
    Args:
      block: a module, called as block(x, emb, train).
      remat: whether to.
    Returns: the class of a module.
    Example:
      >>> remat_block(nn.Dense, remat=False) is nn.Dense
      True
    """
    return nn.remat(block, static_argnums=(3,)) if remat else block


def group_norm(channels: int, eps: float, dtype: Any, name: str, least: int = 4) -> nn.GroupNorm:
    """Make a group norm of min(32, C // least) groups, with statistics in float32 or better.

    Args:
      channels: C.
      eps: added to the variances.
      dtype: type of the result; name: of the layer.
      least: channels that a group has at least, as long as there are 32 groups or fewer.
    Reference: Wu & He 2018, Eq. 7.
    Example:
      >>> group_norm(64, 1e-5, None, "norm").num_groups
      16
    """
    return nn.GroupNorm(num_groups=min(32, channels // least), epsilon=eps, dtype=dtype, name=name)
