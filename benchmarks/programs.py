"""Training steps as `fit` compiles them: to be run, or only to be read."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from experiments.harness import training
from experiments.harness.system import System
from jaxdiff.train import fully_sharded, sharding
from jaxdiff.train.loop import program
from jaxdiff.train.step import Step
from jaxdiff.types import Key, PyTree


class Running(NamedTuple):
    """run(state, key, stacked batches) -> (state, metrics), and what it starts from; call it with the mesh set."""

    run: Callable[..., Any]
    state: Any
    key: Key
    mesh: Mesh


class Compiled(NamedTuple):
    """A program that is not run, and the shapes of its state with their shardings."""

    program: Any
    state: PyTree
    cut: PyTree


def running(config: Any, system: System) -> Running:
    """The training of an experiment, from its config and its system, on all devices."""
    mesh, how = sharding.data_mesh(config.fsdp), training.trainer(config, system)
    state = fully_sharded.init_sharded(mesh, how.create, jax.random.key(0))
    key = sharding.shard(jax.random.key(1), sharding.replicated(mesh))
    return Running(program(how.step, mesh, fully_sharded.state_sharding(mesh, state)), state, key, mesh)


def compiled(step: Step, create: Callable[[Key], PyTree], batch: PyTree, num_devices: int, fsdp: int) -> Compiled:
    """One step on the first devices.

    Args:
      step: as for `fit`; create(key) -> its state.
      batch: shapes of one global batch, [B, ...], such as `images` has.
    """
    mesh = sharding.data_mesh(fsdp, num_devices)
    state = jax.eval_shape(create, jax.random.key(0))
    cut, replicated, split = (
        fully_sharded.state_sharding(mesh, state),
        sharding.replicated(mesh),
        sharding.batch_sharding(mesh, axis=1),
    )
    of = lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s)  # noqa: E731
    stacked = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape), a.dtype, sharding=split), batch)
    with jax.set_mesh(mesh):
        key = of(jax.eval_shape(lambda: jax.random.key(0)), replicated)
        compiled = program(step, mesh, cut).lower(jax.tree.map(of, state, cut), key, stacked).compile()
    return Compiled(compiled, state, cut)


def images(shape: tuple[int, ...], batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch of images with classes."""
    image = jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32)
    return {"image": image, "label": jax.ShapeDtypeStruct((batch_size,), jnp.int32)}


def simulate(num_devices: int) -> None:
    """So many devices on a CPU, unless XLA_FLAGS says something already; to be called before a device is touched."""
    os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={num_devices}")
