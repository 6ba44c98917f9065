"""The description of an exported network: what it must have, and the network and parametrisation that it describes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
from flax.traverse_util import flatten_dict

from jaxdiff.interop.exported.files import Shapes
from jaxdiff.interop.exported.networks import describe_network, network
from jaxdiff.interop.exported.preconds import preconditioning
from jaxdiff.interop.formats.plain_values import CheckpointFormatError, describe
from jaxdiff.interop.state_dict import abstract_params
from jaxdiff.precond import Preconditioning

KINDS = {
    "denoiser": "denoiser(labels)",
    "consistency": "consistency_fn(labels)",
    "x0_sampler": "x0_sampler()",
}
"""What a network is, and the method that gives it."""
VERSION = 1
FLOAT32 = 3.4e38
"""The largest level, which samplers compute with."""


class Description(NamedTuple):
    """What makes a denoiser of parameters, beside the network: plain values only.

    precond: as `preconds.preconditioning` takes it; shape: of an example
    kind: one of `KINDS`; num_classes: 0 where nothing is conditioned on; latent_dim: of an x0_sampler
    clip: whether the denoiser's output is clipped to [-1, 1]
    sampler, sigmas: by what it was sampled, its name and levels; about: anything else that a person may want to know
    """

    precond: Mapping[str, Any]
    shape: tuple[int, ...]
    kind: str = "denoiser"
    num_classes: int = 0
    latent_dim: int = 0
    clip: bool = False
    sampler: str = ""
    sigmas: tuple[float, ...] = ()
    about: Mapping[str, Any] = {}


def shapes_of(arrays: Mapping[str, Any]) -> Shapes:
    """Return the shape and the type of each array.

    Example:
      >>> import numpy as np
      >>> shapes_of({"w": np.zeros((2, 3), np.float32)})
      {'w': ((2, 3), 'float32')}
    """
    return {name: (tuple(a.shape), str(a.dtype)) for name, a in arrays.items()}


def write_out(module: nn.Module, description: Description) -> dict[str, Any]:
    """Write a description out as JSON values, with its network.

    Args:
      module: in `networks.NETWORKS`; description: of the denoiser.
    Raises: ValueError for a network or a field that cannot be described.
    Example:
      >>> from jaxdiff.nets.ddgan import DenseGenerator
      >>> written = write_out(DenseGenerator(2), Description({"name": "edm"}, (2,)))
      >>> written["format"], written["version"], written["shape"]
      ('jaxdiff', 1, [2])
    """
    values = description._asdict() | {"shape": list(description.shape), "sigmas": list(description.sigmas)}
    return {"format": "jaxdiff", "version": VERSION, "network": describe_network(module), **values}


def parse(described: Any, header: Shapes) -> tuple[nn.Module, Preconditioning, Description]:
    """Parse a description, and check that arrays are those of the network that it describes.

    Args:
      described: the JSON; header: shapes and types of the arrays by name.
    Raises: CheckpointFormatError (a ValueError) naming what is missing, unknown, or of another shape or type.
    Example:
      >>> parse({"format": "other"}, {})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: it has no description by jaxdiff: was it ...
    """
    if not isinstance(described, Mapping) or described.get("format") != "jaxdiff":
        raise CheckpointFormatError("it has no description by jaxdiff: was it written by experiments.export?")
    if described.get("version") != VERSION:
        raise CheckpointFormatError(f"its version is {describe(described.get('version'))}, known is {VERSION}")
    fields = {"format", "version", "network", *Description._fields}
    if odd := sorted(set(described) ^ fields):
        raise CheckpointFormatError(
            f"its description lacks {odd[0]}" if odd[0] in fields else f"unknown entry {odd[0]}"
        )
    for name, (expected, fits) in FITS.items():
        if not fits(described[name]):
            raise CheckpointFormatError(f"{name} must be {expected}, got {describe(described[name])}")
    module, row = network(described["network"], len(header))
    num_classes, label_dim = described["num_classes"], getattr(module, "label_dim", described["num_classes"])
    if num_classes not in (0, label_dim):
        raise CheckpointFormatError(f"num_classes is {num_classes}, but the network has label_dim={label_dim}")
    shape = tuple(described["shape"])
    latent_dim: Any = getattr(module, "latent_dim", described["latent_dim"])
    inputs = row.inputs(shape, latent_dim)
    try:
        wanted = flatten_dict(abstract_params(module, *inputs), sep=".")
    except Exception as error:  # whatever Flax and jax make of options that fit no network
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointFormatError(f"network {described['network']['name']} cannot be built: {reason}") from error
    _compare(header, shapes_of(wanted))
    values = {name: described[name] for name in Description._fields}
    description = Description(**{**values, "shape": shape, "sigmas": tuple(described["sigmas"])})
    found = preconditioning(description.precond)
    if description.kind == "x0_sampler" and "betas" not in description.precond:
        raise CheckpointFormatError(f"precond {description.precond['name']} has no betas, which an x0_sampler needs")
    return module, found, description


def _compare(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in dict.fromkeys([*wanted, *found]):
        if found.get(name) != wanted.get(name):
            here, there = (
                "absent" if a is None else f"{a[1]}{list(a[0])}" for a in (wanted.get(name), found.get(name))
            )
            raise CheckpointFormatError(f"{name} is {there} in the file and {here} in the network")


def _counts(value: Any, least: int) -> bool:
    return isinstance(value, list) and all(type(n) is int and least <= n <= 1 << 16 for n in value)


FITS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "shape": ("one to three positive numbers", lambda value: _counts(value, 1) and 1 <= len(value) <= 3),
    "kind": (" or ".join(KINDS), lambda value: isinstance(value, str) and value in KINDS),
    "num_classes": ("a number of classes", lambda value: _counts([value], 0)),
    "latent_dim": ("a number", lambda value: _counts([value], 0)),
    "clip": ("true or false", lambda value: isinstance(value, bool)),
    "sampler": ("text", lambda value: isinstance(value, str)),
    "sigmas": (
        "numbers",
        lambda v: isinstance(v, list) and all(type(s) in (int, float) and 0 <= s <= FLOAT32 for s in v),
    ),
    "precond": ("an object", lambda value: isinstance(value, Mapping)),
    "about": ("an object", lambda value: isinstance(value, Mapping)),
}
"""What each entry must be, in words and as a check."""
