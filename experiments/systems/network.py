"""A network with the shape of its data: what every family of systems is built on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.harness import devices
from experiments.harness.system import Exportable
from jaxdiff.interop.exported import Description
from jaxdiff.types import Array, Key, Params


class Network(NamedTuple):
    """A network as every family calls it.

    apply(params, x, c_noise, class_labels=..., train=..., rngs=...) -> output; init(key) -> params
    shape: of an example, (H, W, C); num_classes: 0 where nothing is conditioned on; bins: grey values of the data
    module: whose `apply` that is; None where it is another function, which cannot be exported
    """

    apply: Callable[..., Any]
    init: Callable[[Key], Params]
    shape: tuple[int, ...]
    num_classes: int = 0
    bins: int = 256
    module: Any = None


def of_images(
    config: devices.Devices, module: Any, shape: tuple[int, ...], num_classes: int = 0, bins: int = 256
) -> Network:
    """Return a Linen module of images as a Network that computes as the flags of a config say."""
    module = devices.computing(config, module)

    def init(key: Key) -> Params:
        return module.init(key, jnp.zeros((1, *shape)), jnp.zeros(1))

    return Network(module.apply, init, shape, num_classes, bins, module)


def exportable(net: Network, precond: dict[str, Any], kind: str = "denoiser", clip: bool = False) -> Exportable | None:
    """Return what `experiments.export` writes of a network: its module, and the rest in plain values.

    Args:
      net: of the system; precond: as `jaxdiff.interop.exported.preconds` has it; kind, clip: of its denoiser.
    """
    if net.module is None:
        return None
    return Exportable(net.module, Description(precond, net.shape, kind, net.num_classes, clip=clip))


def conditioning(net: Network, labels: Array | None) -> dict[str, Any]:
    """Return what a network is given of the classes [B]; {} without labels, or where it has no classes."""
    if labels is None or not net.num_classes:
        return {}
    return {"class_labels": jax.nn.one_hot(labels, net.num_classes, dtype=jnp.float32)}


def in_training(net: Network, labels: Array | None, key: Key) -> dict[str, Any]:
    """Return the same in training, with dropout from a key."""
    return {**conditioning(net, labels), "train": True, "rngs": {"dropout": key}}
