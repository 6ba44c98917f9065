"""Where arrays live: a mesh of the devices, the batch sharded over it; the state is for `fully_sharded` to place."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdiff.types import PyTree


def data_mesh(fsdp: int = 1, num_devices: int | None = None) -> Mesh:
    """Make a mesh of all devices, of all processes, on two axes: "data" and, for parameters and optimiser, "fsdp".

    Args:
      fsdp: devices over which the state is sharded; 1 replicates it.
      num_devices: take the first so many only.
    Raises: ValueError unless there are so many, and fsdp divides their number.
    Example:
      >>> data_mesh().axis_names
      ('data', 'fsdp')
    """
    num = jax.device_count() if num_devices is None else num_devices
    if not 1 <= num <= jax.device_count():
        raise ValueError(f"a mesh of num_devices={num} does not fit the {jax.device_count()} devices")
    if fsdp < 1 or num % fsdp:
        raise ValueError(f"fsdp={fsdp} must be at least 1 and divide the {num} devices: no mesh fits them")
    return _mesh(jax.devices()[:num], fsdp)


def local_mesh() -> Mesh:
    """Make a mesh of this process's devices alone, with the axes of `data_mesh`.

    Example:
      >>> local_mesh().size == jax.local_device_count()
      True
    """
    return _mesh(jax.local_devices(), 1)


def _mesh(devices: Sequence[jax.Device], fsdp: int) -> Mesh:
    # Explicit, since the default type of an axis changed between JAX versions.
    axes, types = ("data", "fsdp"), (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((len(devices) // fsdp, fsdp), axes, axis_types=types, devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a copy on every device.

    Example:
      >>> replicated(data_mesh()).spec == PartitionSpec()
      True
    """
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Return the sharding of a batch, whose axis `axis` is split over all devices.

    Args:
      mesh: of `data_mesh` or `local_mesh`.
      axis: 0, or 1 where batches are stacked.
    Example:
      >>> batch_sharding(data_mesh(), axis=1).spec == PartitionSpec(None, ("data", "fsdp"))
      True
    """
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, ("data", "fsdp")))


def check_batch(batch_size: int, mesh: Any, accumulate: int = 1) -> None:
    """Check that every device gets the same number of examples, in each of `accumulate` rounds.

    Args:
      batch_size: examples a step, over all devices.
      mesh: of `data_mesh`.
      accumulate: rounds of gradient accumulation, >= 1.
    Raises: ValueError where it does not.
    Example:
      >>> check_batch(0, data_mesh(num_devices=1))
      Traceback (most recent call last):
      ValueError: batch_size=0 must be a positive multiple of the 1 devices
    """
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    if batch_size < 1 or batch_size % (mesh.size * accumulate):
        rounds = f" times accumulate={accumulate}" if accumulate > 1 else ""
        raise ValueError(f"batch_size={batch_size} must be a positive multiple of the {mesh.size} devices{rounds}")


def shard_batch(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Put this process's part of a batch on its devices, as global arrays.

    Args:
      tree: pytree of arrays [B / processes, ...].
      sharding: of `batch_sharding`.
    Example:
      >>> shard_batch(np.zeros((8, 2)), batch_sharding(data_mesh(num_devices=1))).shape
      (8, 2)
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, np.asarray(a)), tree)


def shard(tree: PyTree, shardings: PyTree) -> PyTree:
    """Shard what every process holds alike, such as a new state or a key, as global arrays.

    Args:
      tree: pytree of arrays.
      shardings: one for all, or a pytree of them.
    Example:
      >>> shard({"w": np.zeros(3)}, replicated(data_mesh()))["w"].is_fully_replicated
      True
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)
    return jax.jit(lambda tree: tree, out_shardings=shardings)(tree)


def to_host(tree: PyTree) -> PyTree:
    """Gather sharded arrays into copies of this process's own; all processes call it together.

    Example:
      >>> to_host(shard({"w": np.ones(3)}, replicated(data_mesh())))["w"].tolist()
      [1.0, 1.0, 1.0]
    """
    leaves = jax.tree.leaves(tree)
    if not all(leaf.is_fully_replicated for leaf in leaves):
        mesh = next(leaf.sharding.mesh for leaf in leaves if not leaf.is_fully_replicated)
        tree = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree)
    return tree if jax.process_count() == 1 else jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
