"""Memory of a training step by configuration, as the compiler plans it: python -m benchmarks.memory

Compiles the step of the CIFAR-10 DDPM++ recipe, or with --digits of `experiments.edm_digits`, as `fit` does, plain and
with each flag that saves memory, and prints what one device holds: the state that stays, and the temporary memory of a
step, activations for the most part. Nothing is run. Devices are simulated on the CPU where there are none, and what XLA
plans for CPUs is not what it plans for GPU or TPU: there, the same command says what holds. Writes JSON with --out.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if "XLA_FLAGS" not in os.environ:  # read when the first device is touched
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import tyro

from benchmarks.record import keep
from experiments import edm_cifar, edm_digits, stages
from jaxdiff.train import sharding
from jaxdiff.train.loop import program

WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "float32": (1, {}),
    "bfloat16": (1, {"dtype": "bfloat16"}),
    "remat": (1, {"remat": True}),
    "bfloat16, remat": (1, {"dtype": "bfloat16", "remat": True}),
    "accumulate 4": (1, {"accumulate": 4}),
    "2 devices, data parallel": (2, {}),
    "2 devices, FSDP": (2, {"fsdp": 2}),
    "8 devices, FSDP": (8, {"fsdp": 8}),
}
"""Number of devices, and flags."""


@dataclass(frozen=True)
class Config:
    """Memory of one training step."""

    batch: int = 32
    """Images a step, over all devices."""
    digits: bool = False
    """The digits network instead of CIFAR-10's."""
    ways: tuple[str, ...] = tuple(WAYS)
    """Configurations to compile."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/memory-DEVICE.json."""


def planned(told: Any, system: Any, num_devices: int) -> dict[str, int]:
    """Bytes on one device: what goes in, and what a step needs besides."""
    mesh = sharding.data_mesh(told.fsdp, num_devices)
    how = stages.learning(told, system)
    state = jax.eval_shape(how.create, jax.random.key(0))
    cut, whole = sharding.state_sharding(mesh, state), sharding.replicated(mesh)
    of = lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s)  # noqa: E731
    split = sharding.split(mesh, axis=1)
    batch = {
        "image": jax.ShapeDtypeStruct((1, told.batch_size, *system.shape), jnp.float32, sharding=split),
        "label": jax.ShapeDtypeStruct((1, told.batch_size), jnp.int32, sharding=split),
    }
    with jax.set_mesh(mesh):
        key = of(jax.eval_shape(lambda: jax.random.key(0)), whole)
        compiled = program(how.step, mesh, cut).lower(jax.tree.map(of, state, cut), key, batch).compile()
    memory = compiled.memory_analysis()
    return {"state": memory.argument_size_in_bytes, "temporary": memory.temp_size_in_bytes}


def main(config: Config) -> None:
    """Compile, print, write."""
    if unknown := [name for name in config.ways if name not in WAYS]:
        raise ValueError(f"ways has unknown configurations {', '.join(unknown)}; known are {', '.join(WAYS)}")
    rows = {}
    print(f"{'configuration':<28}{'state MB':>10}{'temporary MB':>14}")
    for name in config.ways:
        num_devices, flags = WAYS[name]
        if num_devices > jax.device_count():
            print(f"{name:<28}needs {num_devices} devices, there are {jax.device_count()}")
            continue
        module = edm_digits if config.digits else edm_cifar
        told = replace(module.Config(), batch_size=config.batch, **flags)
        told = told if config.digits else edm_cifar.resolve(replace(told, data="cifar10"))
        row = rows[name] = planned(told, module.system(told), num_devices)
        print(f"{name:<28}{row['state'] / 1e6:>10.1f}{row['temporary'] / 1e6:>14.1f}", flush=True)
    keep(config.out, {"rows": rows, "batch": config.batch})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.memory"))
