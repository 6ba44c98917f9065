"""Memory of a training step by configuration, as the compiler plans it: python -m benchmarks.memory

Compiles the step of the CIFAR-10 DDPM++ recipe, or with --digits of `experiments.edm_digits`, as `fit` does, plain and
with each flag that saves memory, and prints what one device holds: the state that stays, and the temporary memory of a
step, activations for the most part; and its FLOPs, by the compiler's count. Nothing is run. Devices are simulated on
the CPU where there are none, and what XLA plans for CPUs is not what it plans for GPU or TPU: there, the same command
says what holds. Writes JSON with --out.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import tyro

from benchmarks.programs import compiled, images, simulate
from benchmarks.record import save
from experiments import edm_cifar, edm_digits
from experiments.harness import training
from experiments.harness.system import System

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


def planned(run_config: Any, system: System, num_devices: int) -> dict[str, float]:
    """Bytes on one device: what goes in, and what a step needs besides; and its FLOPs there."""
    how = training.trainer(run_config, system)
    program = compiled(
        how.step, how.create, images(system.shape, run_config.batch_size), num_devices, run_config.fsdp
    ).program
    memory, flops = program.memory_analysis(), program.cost_analysis()["flops"]
    return {"state": memory.argument_size_in_bytes, "temporary": memory.temp_size_in_bytes, "flops": flops}


def main(config: Config) -> None:
    """Compile, print, write."""
    simulate(8)
    if unknown := [name for name in config.ways if name not in WAYS]:
        raise ValueError(f"ways has unknown configurations {', '.join(unknown)}; known are {', '.join(WAYS)}")
    rows = {}
    print(f"{'configuration':<28}{'state MB':>10}{'temporary MB':>14}{'GFLOP':>10}")
    for name in config.ways:
        num_devices, flags = WAYS[name]
        if num_devices > jax.device_count():
            print(f"{name:<28}needs {num_devices} devices, there are {jax.device_count()}")
            continue
        module = edm_digits if config.digits else edm_cifar
        run_config = replace(module.Config(), batch_size=config.batch, **flags)
        run_config = run_config if config.digits else edm_cifar.resolve(replace(run_config, data="cifar10"))
        row = rows[name] = planned(run_config, module.system(run_config), num_devices)
        print(
            f"{name:<28}{row['state'] / 1e6:>10.1f}{row['temporary'] / 1e6:>14.1f}{row['flops'] / 1e9:>10.1f}",
            flush=True,
        )
    save(config.out, {"rows": rows, "batch": config.batch})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.memory"))
