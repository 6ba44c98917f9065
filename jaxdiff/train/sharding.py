"""Where arrays live: one mesh, the batch split over it, the state on every device."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdiff.types import PyTree


def data_mesh() -> Mesh:
    """All devices on one axis named "data".

    Example:
      >>> data_mesh().axis_names
      ('data',)
    """
    # Explicit, since the default type of an axis changed between JAX versions.
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Axis `axis` cut over the devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Raise ValueError unless every device gets the same number of examples."""
    if batch_size < 1 or batch_size % mesh.size:
        raise ValueError(f"batch_size={batch_size} must be a positive multiple of the {mesh.size} devices")


def place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """This process's part of a batch (or the whole state) as global arrays."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, np.asarray(a)), tree)
