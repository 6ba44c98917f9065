"""Fully sharded training (FSDP, ZeRO-3): every large array of the state is sharded along the mesh's "fsdp" axis.

Parameters are gathered where the loss is taken, their gradients reduced to the same shards; XLA derives the
communication from these placements. With an axis of 1 the state is replicated: data parallel.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdiff.types import Array, Key, Params, PyTree

LEAST = 1024
"""Arrays of fewer elements are replicated: sharding them would save less than a message costs."""


def shard_axis(shape: tuple[int, ...], fsdp: int) -> int | None:
    """Choose the axis along which an array is sharded into `fsdp` parts; None where it is replicated.

    The longest one that fsdp divides, of equals the last; none in arrays of fewer than `LEAST` elements.

    Args:
      shape: of the array.
      fsdp: devices over which the state is sharded.
    Example:
      >>> shard_axis((3, 3, 64, 64), 4), shard_axis((3, 3, 64, 64), 5), shard_axis((64,), 4)
      (3, None, None)
    """
    fitting = [(length, axis) for axis, length in enumerate(shape) if length % fsdp == 0]
    return max(fitting)[1] if fsdp > 1 and fitting and np.prod(shape) >= LEAST else None


def state_sharding(mesh: Mesh, state: PyTree) -> PyTree:
    """Choose a sharding for each leaf, by `shard_axis`: parameters, their averages and the optimiser's moments alike.

    Args:
      mesh: of `data_mesh`.
      state: any pytree of arrays or of `jax.ShapeDtypeStruct`.
    Raises: ValueError where the mesh has an "fsdp" axis and nothing in the state can be sharded along it.
    Example:
      >>> from jaxdiff.train.sharding import data_mesh
      >>> state_sharding(data_mesh(), {"w": jnp.zeros((64, 64))})["w"].spec == PartitionSpec()
      True
    """
    fsdp = mesh.shape.get("fsdp", 1)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state)]
    if fsdp > 1 and all(shard_axis(shape, fsdp) is None for shape in shapes):
        longest = max((length for shape in shapes for length in shape), default=0)
        raise ValueError(
            f"fsdp={fsdp} shards nothing: of {len(shapes)} arrays, the longest axis {longest}, none has an axis that "
            f"{fsdp} divides and {LEAST} elements or more"
        )
    return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(leaf.shape, fsdp)), state)


def _spec(shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
    axis = shard_axis(shape, fsdp)
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "fsdp")


def init_sharded(mesh: Mesh, create: Callable[[Key], PyTree], key: Key) -> PyTree:
    """Create a state in place: no device ever holds more of it than its shards.

    A CPU's compiler takes longer over a random generator a parameter than over the step that trains them; what runs
    once is not optimised there.

    Args:
      mesh: of `data_mesh`.
      create: key -> state.
      key: for it.
    Example:
      >>> from jaxdiff.train.sharding import data_mesh
      >>> init_sharded(data_mesh(), lambda key: {"w": jnp.ones(3)}, jax.random.key(0))["w"].tolist()
      [1.0, 1.0, 1.0]
    """
    options = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    where = state_sharding(mesh, jax.eval_shape(create, key))
    return jax.jit(create, out_shardings=where, compiler_options=options)(key)


def all_gather(params: Params) -> Params:
    """Gather sharded parameters inside a step that `fit` compiles with an "fsdp" axis; elsewhere return them.

    Their gradients are summed over the devices and sharded like the parameters.

    Example:
      >>> all_gather({"w": 1.0})
      {'w': 1.0}
    """
    return params if _fsdp() == 1 else _all_gather(params)


@jax.custom_vjp
def _all_gather(params: Params) -> Params:
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, PartitionSpec()), params)


def _reduce_scatter(_: None, grads: Params) -> tuple[Params]:
    return (jax.tree.map(lambda g: jax.lax.with_sharding_constraint(g, _spec(g.shape, _fsdp())), grads),)


_all_gather.defvjp(lambda params: (_all_gather(params), None), _reduce_scatter)


def global_norm(tree: PyTree) -> Array:
    """Compute the root of the sum of all squares, as optax.tree.norm, with one sum over the devices, not one a leaf.

    Besides its own cost, a sum a leaf would keep XLA from joining the gradients' reductions.

    Example:
      >>> float(global_norm({"a": jnp.array([3.0]), "b": jnp.array([4.0])}))
      5.0
    """
    if (fsdp := _fsdp()) == 1:
        return optax.tree.norm(tree)
    parts = jnp.zeros(fsdp)  # the squares on each device
    uncut = jnp.zeros(())
    for leaf in jax.tree.leaves(tree):
        axis = shard_axis(leaf.shape, fsdp)
        if axis is None:
            uncut += jnp.sum(jnp.square(leaf))
        else:
            parts += jnp.sum(jnp.square(jnp.moveaxis(leaf, axis, 0)).reshape(fsdp, -1), axis=1)
    return jnp.sqrt(uncut + jnp.sum(jax.lax.with_sharding_constraint(parts, PartitionSpec("fsdp"))))


def _fsdp() -> int:
    """Length of the "fsdp" axis of the mesh that is set, 1 where none is."""
    return jax.sharding.get_abstract_mesh().shape.get("fsdp", 1)
