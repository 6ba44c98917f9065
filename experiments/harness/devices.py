"""What an experiment runs on, and how it computes there: flags, and what they ask of a network and a state."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxdiff import keys
from jaxdiff.train import fully_sharded, hosts, sharding
from jaxdiff.types import Key


@dataclass(frozen=True)
class Devices:
    """One device, many, or many hosts with many each."""

    fsdp: int = 1
    """Devices over which parameters and optimiser are cut; 1 copies them to all (data parallel)."""
    accumulate: int = 1
    """Parts of a batch whose gradients are taken one after another, for less memory; loops are slow on CPUs."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type that the networks compute in; parameters, losses and averages stay float32."""
    remat: bool = False
    """Recompute each block's activations in the backward pass instead of keeping them."""
    distributed: bool = False
    """This is one of several processes: on TPU pods and under SLURM nothing more need be said, elsewhere the next
    three."""
    coordinator_address: str | None = None
    """distributed: host:port of process 0."""
    num_processes: int | None = None
    """distributed: how many there are."""
    process_id: int | None = None
    """distributed: which one this is, from 0."""


def join(config: Any) -> None:
    """Join the other processes where the flags of an experiment ask for it, before anything touches a device.

    Raises: ValueError when they cannot be met, or flags say who they are but not that they are there.
    """
    if not isinstance(config, Devices):
        return
    named = {name: getattr(config, name) for name in ("coordinator_address", "num_processes", "process_id")}
    if config.distributed:
        hosts.initialize(**named)
    elif given := [name for name, value in named.items() if value is not None]:
        raise ValueError(f"{', '.join(given)} given without distributed")


def compile_quickly(config: Any) -> None:
    """Leave out LLVM's optimisation in a smoke run on CPUs, where it takes most of the time; JAX's own flag decides."""
    flag = "jax_disable_most_optimizations"
    if getattr(config, "smoke", False) and flag.upper() not in os.environ and jax.default_backend() == "cpu":
        jax.config.update(flag, True)


def leave(config: Any) -> None:
    """Wait for process 0 at the end, without which the others cannot go on."""
    if isinstance(config, Devices) and config.distributed:
        hosts.barrier()


def check_state(config: Devices, create: Callable[[Key], Any]) -> None:
    """Raise ValueError unless the state can be made, and cut over the devices as the flags say."""
    fully_sharded.state_sharding(sharding.data_mesh(config.fsdp), jax.eval_shape(create, keys.from_seed(0)))


def computing(config: Devices, net: Any) -> Any:
    """Return the network that computes as the flags say: in which type, with or without its activations kept.

    Raises: ValueError when it has no blocks to recompute.
    """
    changes: dict[str, Any] = {} if config.dtype == "float32" else {"dtype": jnp.dtype(config.dtype)}
    if config.remat:
        if not hasattr(net, "remat"):
            raise ValueError(f"remat recomputes residual blocks, and {type(net).__name__} has none")
        changes["remat"] = True
    return net.clone(**changes) if changes else net
