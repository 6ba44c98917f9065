"""Where arrays live: one mesh of all devices, the batch split over it, the state copied or split by one rule.

Data parallel is an "fsdp" axis of 1; fully sharded (FSDP, ZeRO-3) is a larger one: every large array of the state is
cut along it, parameters are put together where the loss is taken, their gradients summed into the same cuts. XLA
derives the communication from these placements.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdiff.types import Array, Key, Params, PyTree

LEAST = 1024
"""Arrays of fewer elements are copied: what a cut would save is less than a message costs."""


def data_mesh(fsdp: int = 1, num_devices: int | None = None) -> Mesh:
    """All devices, of all processes, on two axes: "data" and, for parameters and optimiser, "fsdp".

    Args:
      fsdp: devices over which the state is cut; 1 copies it.
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


def own_mesh() -> Mesh:
    """The devices of this process alone, for what it does by itself; the axes are those of `data_mesh`."""
    return _mesh(jax.local_devices(), 1)


def _mesh(devices: Sequence[jax.Device], fsdp: int) -> Mesh:
    # Explicit, since the default type of an axis changed between JAX versions.
    axes, types = ("data", "fsdp"), (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((len(devices) // fsdp, fsdp), axes, axis_types=types, devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Axis `axis` cut over all devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, ("data", "fsdp")))


def check_batch(batch_size: int, mesh: Any, accumulate: int = 1) -> None:
    """Raise ValueError unless every device gets the same number of examples, in each of `accumulate` rounds."""
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    if batch_size < 1 or batch_size % (mesh.size * accumulate):
        rounds = f" times accumulate={accumulate}" if accumulate > 1 else ""
        raise ValueError(f"batch_size={batch_size} must be a positive multiple of the {mesh.size} devices{rounds}")


def shard_axis(shape: tuple[int, ...], fsdp: int) -> int | None:
    """The one rule: which axis of an array is cut into `fsdp` parts; None where it is copied.

    The longest one that fsdp divides, of equals the last; none in arrays of fewer than `LEAST` elements.

    Example:
      >>> shard_axis((3, 3, 64, 64), 4), shard_axis((3, 3, 64, 64), 5), shard_axis((64,), 4)
      (3, None, None)
    """
    fitting = [(length, axis) for axis, length in enumerate(shape) if length % fsdp == 0]
    return max(fitting)[1] if fsdp > 1 and fitting and np.prod(shape) >= LEAST else None


def state_sharding(mesh: Mesh, state: PyTree) -> PyTree:
    """A sharding a leaf, by `shard_axis`: parameters, their averages and the optimiser's moments alike.

    Args:
      mesh: of `data_mesh`.
      state: any pytree of arrays or of `jax.ShapeDtypeStruct`.
    Raises: ValueError where the mesh has an "fsdp" axis and nothing in the state can be cut along it.
    """
    fsdp = mesh.shape.get("fsdp", 1)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state)]
    if fsdp > 1 and all(shard_axis(shape, fsdp) is None for shape in shapes):
        longest = max((length for shape in shapes for length in shape), default=0)
        raise ValueError(
            f"fsdp={fsdp} cuts nothing: of {len(shapes)} arrays, the longest axis {longest}, none has an axis that "
            f"{fsdp} divides and {LEAST} elements or more"
        )
    return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(leaf.shape, fsdp)), state)


def _spec(shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
    axis = shard_axis(shape, fsdp)
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "fsdp")


def place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """This process's part of a batch as global arrays."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(sharding, np.asarray(a)), tree)


def spread(tree: PyTree, shardings: PyTree) -> PyTree:
    """What every process holds alike, such as a new state or a key, as global arrays with these shardings."""
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)
    return jax.jit(lambda tree: tree, out_shardings=shardings)(tree)


def made(mesh: Mesh, create: Callable[[Key], PyTree], key: Key) -> PyTree:
    """create(key), made in place: no device ever holds more of the state than its part.

    A CPU's compiler takes longer over a random generator a parameter than over the step that trains them; what runs
    once is not optimised there.
    """
    options = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    where = state_sharding(mesh, jax.eval_shape(create, key))
    return jax.jit(create, out_shardings=where, compiler_options=options)(key)


def whole(tree: PyTree) -> PyTree:
    """A copy of arrays that are cut, as this process's own; all processes ask together."""
    leaves = jax.tree.leaves(tree)
    if not all(leaf.is_fully_replicated for leaf in leaves):
        mesh = next(leaf.sharding.mesh for leaf in leaves if not leaf.is_fully_replicated)
        tree = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree)
    return tree if jax.process_count() == 1 else jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def gathered(params: Params) -> Params:
    """Inside a step that `fit` compiles with an "fsdp" axis: whole parameters on every device; elsewhere as they are.

    Their gradients are summed over the devices and cut like the parameters.

    Example:
      >>> gathered({"w": 1.0})
      {'w': 1.0}
    """
    return params if _fsdp() == 1 else _gathered(params)


@jax.custom_vjp
def _gathered(params: Params) -> Params:
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, PartitionSpec()), params)


def _cut(_: None, grads: Params) -> tuple[Params]:
    return (jax.tree.map(lambda g: jax.lax.with_sharding_constraint(g, _spec(g.shape, _fsdp())), grads),)


_gathered.defvjp(lambda params: (_gathered(params), None), _cut)


def global_norm(tree: PyTree) -> Array:
    """optax.global_norm, and one sum over the devices instead of one a leaf where the leaves are cut.

    Besides its own cost, a sum a leaf would keep XLA from joining the gradients' reductions.

    Example:
      >>> float(global_norm({"a": jnp.array([3.0]), "b": jnp.array([4.0])}))
      5.0
    """
    if (fsdp := _fsdp()) == 1:
        return optax.global_norm(tree)
    parts = jnp.zeros(fsdp)  # the squares on each device
    whole = jnp.zeros(())
    for leaf in jax.tree.leaves(tree):
        axis = shard_axis(leaf.shape, fsdp)
        if axis is None:
            whole += jnp.sum(jnp.square(leaf))
        else:
            parts += jnp.sum(jnp.square(jnp.moveaxis(leaf, axis, 0)).reshape(fsdp, -1), axis=1)
    return jnp.sqrt(whole + jnp.sum(jax.lax.with_sharding_constraint(parts, PartitionSpec("fsdp"))))


def _fsdp() -> int:
    """Length of the "fsdp" axis of the mesh that is set, 1 where none is."""
    return jax.sharding.get_abstract_mesh().shape.get("fsdp", 1)
