"""Networks by name: {"name": "SongUNet", "options": {field: plain value}} as a Linen module, and back, by a table."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxdiff.interop.formats.plain_values import CheckpointFormatError, describe
from jaxdiff.nets.ddgan.blocks import LatentBlock, OneNormBlock
from jaxdiff.nets.ddgan.dense import DenseGenerator
from jaxdiff.nets.ddgan.discriminator import leaky_relu
from jaxdiff.nets.ddgan.generator import Generator
from jaxdiff.nets.unet import DhariwalUNet, GuidedUNet, SongUNet, VDMUNet

Shapes = tuple[tuple[int, ...], ...]


def of_level(shape: tuple[int, ...], latent_dim: int) -> Shapes:
    """Return the shapes that a denoiser's network is made by: an example and its level.

    Args:
      shape: of an example; latent_dim: not used.
    Example:
      >>> of_level((8, 8, 1), 0)
      ((1, 8, 8, 1), (1,))
    """
    return (1, *shape), (1,)


def of_latent(shape: tuple[int, ...], latent_dim: int) -> Shapes:
    """Return the shapes that a generator is made by: an example, its step and a latent.

    Args:
      shape: of an example; latent_dim: numbers in the latent that the network is given.
    Example:
      >>> of_latent((2,), 4)
      ((1, 2), (1,), (1, 4))
    """
    return (1, *shape), (1,), (1, latent_dim)


class Row(NamedTuple):
    """A network; inputs(shape, latent_dim) -> the shapes of what its `init` takes."""

    module: Callable[..., nn.Module]
    inputs: Callable[[tuple[int, ...], int], Shapes] = of_level


NETWORKS: dict[str, Row] = {
    "SongUNet": Row(SongUNet),
    "DhariwalUNet": Row(DhariwalUNet),
    "GuidedUNet": Row(GuidedUNet),
    "VDMUNet": Row(VDMUNet),
    "Generator": Row(Generator, of_latent),
    "DenseGenerator": Row(DenseGenerator, of_latent),
}
"""To add a network, add its row: a Linen module whose fields are plain values or in `NAMED`."""
NAMED: dict[str, dict[str, Any]] = {
    "activation": {"silu": nn.silu, "relu": nn.relu, "gelu": nn.gelu, "elu": nn.elu, "leaky_relu": leaky_relu},
    "block": {"LatentBlock": LatentBlock, "OneNormBlock": OneNormBlock},
    "dtype": {name: jnp.dtype(name) for name in ("float32", "float16", "bfloat16")},
}
"""Fields whose values are functions, classes or types: their values by name."""
NOT_SAVED = ("parent", "name", "remat")
"""Fields that say nothing about what is computed."""


def describe_network(module: nn.Module) -> dict[str, Any]:
    """Describe a network in plain values.

    Raises: ValueError when it is not in `NETWORKS`, or has a field that cannot be written so.
    Example:
      >>> described = describe_network(DenseGenerator(features=2, activation=leaky_relu))
      >>> described["name"], described["options"]["activation"], described["options"]["width"]
      ('DenseGenerator', 'leaky_relu', 128)
    """
    name = type(module).__name__
    if name not in NETWORKS:
        raise ValueError(f"{name} is none of the networks that can be exported: {', '.join(NETWORKS)}")
    fields = [field.name for field in dataclasses.fields(module) if field.name not in NOT_SAVED]
    return {"name": name, "options": {field: _plain(name, field, getattr(module, field)) for field in fields}}


def network(described: Any, most: int) -> tuple[nn.Module, Row]:
    """Build the network of a description, and return it with its row.

    Args:
      described: as `describe_network` makes it.
      most: arrays that there are for it, which bounds how many blocks it may have.
    Raises: CheckpointFormatError (a ValueError) naming what is unknown or no plain value.
    Example:
      >>> network({"name": "DenseGenerator", "options": {"features": 2, "wide": 3}}, 8)
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: network DenseGenerator has no option wide
    """
    given = described if isinstance(described, Mapping) and set(described) == {"name", "options"} else {}
    name, options = given.get("name"), given.get("options")
    if not isinstance(options, Mapping):
        raise CheckpointFormatError(f"network must be an object with name and options, got {describe(described)}")
    if not isinstance(name, str) or name not in NETWORKS:
        raise CheckpointFormatError(f"network is {describe(name)}; there are {', '.join(NETWORKS)}")
    row = NETWORKS[name]
    known: Any = row.module
    fields = [field.name for field in dataclasses.fields(known) if field.name not in NOT_SAVED]
    if unknown := [key for key in options if key not in fields]:
        raise CheckpointFormatError(f"network {name} has no option {', '.join(unknown)}")
    values = {key: _valued(name, key, value, most) for key, value in options.items()}
    try:
        return row.module(**values), row
    except TypeError as error:  # a field without a default that is not there
        raise CheckpointFormatError(f"network {name}: {error}") from error


def _plain(name: str, field: str, value: Any) -> Any:
    for known, named in NAMED.get(field, {}).items():
        if value is not None and value == named:
            return known
    if isinstance(value, (tuple, list)):
        return [_plain(name, field, item) for item in value]
    if value is not None and type(value) not in (bool, int, float, str):
        raise ValueError(f"{name}.{field} is {value!r}, which has no name in NAMED: it cannot be exported")
    return value


def _valued(name: str, field: str, value: Any, most: int) -> Any:
    """A field's value of its plain one; what Flax reads long before arrays could prove it wrong is bounded."""
    if field in NAMED and value is not None:
        if not isinstance(value, str) or value not in NAMED[field]:
            known = ", ".join(NAMED[field])
            raise CheckpointFormatError(f"network {name}: {field} is {describe(value)}; there are {known}")
        return NAMED[field][value]
    if isinstance(value, list):
        if len(value) > most:
            raise CheckpointFormatError(f"network {name}: {field} has {len(value)} values for {most} arrays")
        return tuple(_valued(name, field, item, most) for item in value)
    if value is not None and type(value) not in (bool, int, float, str):
        raise CheckpointFormatError(f"network {name}: {field} is {describe(value)}, which is no plain value")
    if field in ("num_blocks", "depth", "map_layers") and not (type(value) is int and 0 <= value <= most):
        raise CheckpointFormatError(f"network {name}: {field} is {describe(value)} for {most} arrays")
    return value
