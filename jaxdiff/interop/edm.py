"""Karras et al.'s published `.pkl` models as jaxdiff's networks, params and preconditionings."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff import precond
from jaxdiff.interop.edm_pickle import EdmCheckpoint, read_edm
from jaxdiff.interop.formats.plain_values import CheckpointFormatError, describe
from jaxdiff.interop.state_dict import abstract_params, to_params
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.song import SongUNet
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Params


class _Kind(NamedTuple):
    """One preconditioner: our constructor, its arguments by their recorded name, the network it wraps by default."""

    build: Callable[..., Preconditioning]
    arguments: Mapping[str, str]
    network: type[nn.Module]
    outputs: int = 1  # channels of F for each of the image


def _edm(sigma_data: float = 0.5, sigma_min: float = 0.0, sigma_max: float = float("inf")) -> Preconditioning:
    return precond.edm(sigma_data)._replace(sigma_min=sigma_min, sigma_max=sigma_max)


VP_ARGUMENTS = {"beta_d": "beta_d", "beta_min": "beta_min", "M": "num_levels", "epsilon_t": "epsilon_t"}
EDM_ARGUMENTS = {"sigma_data": "sigma_data", "sigma_min": "sigma_min", "sigma_max": "sigma_max"}
KINDS = {
    "VPPrecond": _Kind(precond.vp, VP_ARGUMENTS, SongUNet),
    "VEPrecond": _Kind(precond.ve, {"sigma_min": "sigma_min", "sigma_max": "sigma_max"}, SongUNet),
    "iDDPMPrecond": _Kind(precond.iddpm, {"M": "num_levels", "C_1": "c_1", "C_2": "c_2"}, DhariwalUNet, outputs=2),
    "EDMPrecond": _Kind(_edm, EDM_ARGUMENTS, DhariwalUNet),
}
NETWORKS: dict[str, type[nn.Module]] = {"SongUNet": SongUNet, "DhariwalUNet": DhariwalUNet}


def load_edm(path: str | Path) -> tuple[nn.Module, Params, Preconditioning, dict[str, Any]]:
    """Load a published model, ready for `precond.denoiser(net.apply, params, preconditioning)`.

    Args:
      path: such as "edm-cifar10-32x32-cond-vp.pkl".
    Returns: (net, params, preconditioning, metadata). params are float32. A network that returns a variance with the
      mean (iDDPMPrecond) needs `precond.leading_channels(net.apply)`.
    Raises: CheckpointFormatError (a ValueError) naming what was met, for a file that is not such a model, and naming
      the parameter and both shapes, where the arrays do not fit the recorded network; OSError.
    Reference: Karras et al. 2022; https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/.
    Example:
      >>> load_edm("edm-cifar10-32x32-cond-vp.pkl")
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'edm-cifar10-32x32-cond-vp.pkl'
    """
    checkpoint = read_edm(path)
    try:
        return *_assemble(checkpoint), checkpoint.metadata
    except CheckpointFormatError:
        raise
    except Exception as error:  # whatever Flax or jax make of arguments that fit no network
        raise CheckpointFormatError(f"the recorded network does not fit: {str(error)[:1000]}") from error


def _assemble(checkpoint: EdmCheckpoint) -> tuple[nn.Module, Params, Preconditioning]:
    levels = checkpoint.kwargs.get("M", 1000)
    if "u" in checkpoint.state_dict and checkpoint.state_dict["u"].size != levels + 1:
        raise CheckpointFormatError(f"M is {levels}, but u has {checkpoint.state_dict['u'].size} levels")
    net, preconditioning = from_arguments(checkpoint.class_name, checkpoint.kwargs, len(checkpoint.state_dict))
    params = to_params(checkpoint.state_dict, abstract_params(net), prefix="model.")
    return net, jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params), preconditioning


def from_arguments(class_name: str, kwargs: Mapping[str, Any], entries: int) -> tuple[Any, Preconditioning]:
    """Make the network and the preconditioning that a published model's class and arguments describe.

    Args:
      class_name: one of `KINDS`; kwargs: its arguments, spelled as the authors spell them.
      entries: arrays that the checkpoint holds, which bounds the number of blocks.
    Raises: CheckpointFormatError naming what is unknown.
    Reference: Karras et al. 2022, Table 1, for the preconditionings.
    Example:
      >>> net, edm = from_arguments("EDMPrecond", {"img_resolution": 32, "img_channels": 3, "sigma_max": 80.0}, 99)
      >>> type(net).__name__, edm.sigma_max
      ('DhariwalUNet', 80.0)
    """
    if class_name not in KINDS:
        raise CheckpointFormatError(f"class is {describe(class_name)}, allowed are {', '.join(KINDS)}")
    kind, kwargs = KINDS[class_name], dict(kwargs)
    settings = {
        ours: _number(theirs, kwargs.pop(theirs)) for theirs, ours in kind.arguments.items() if theirs in kwargs
    }
    return _network(kind, kwargs, entries), kind.build(**settings)


def _number(name: str, value: Any) -> Any:
    if type(value) not in (int, float):
        raise CheckpointFormatError(f"argument {name} is {describe(value)}, not a number")
    return value


def _network(kind: _Kind, kwargs: dict[str, Any], entries: int) -> Any:
    """The recorded network; arguments that it has not are named."""
    model_type = kwargs.pop("model_type", kind.network.__name__)
    if model_type not in NETWORKS:
        raise CheckpointFormatError(f"model_type is {describe(model_type)}, allowed are {', '.join(NETWORKS)}")
    channels = kwargs.pop("img_channels", None)
    kwargs.pop("use_fp16", None)
    if type(channels) is not int or "img_resolution" not in kwargs:
        raise CheckpointFormatError("the recorded arguments lack img_resolution or img_channels")
    # Flax reads the attributes long before the arrays could prove them wrong.
    if not max(kwargs.get("num_blocks", 0), len(kwargs.get("channel_mult", ()))) <= entries:
        raise CheckpointFormatError(f"num_blocks or channel_mult says more blocks than {entries} arrays can fill")
    network = NETWORKS[model_type]
    arguments = set(network.__dataclass_fields__) - {"parent", "name", "dtype", "in_channels", "out_channels"}
    if unknown := sorted(set(kwargs) - arguments):
        raise CheckpointFormatError(f"{model_type} has no argument {', '.join(map(describe, unknown[:5]))}")
    kwargs = {name: tuple(value) if isinstance(value, list) else value for name, value in kwargs.items()}
    return network(in_channels=channels, out_channels=kind.outputs * channels, **kwargs)
