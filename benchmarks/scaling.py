"""What a training step sends between devices, read from the compiled program: python -m benchmarks.scaling

Compiles the step of `experiments.edm_digits` for 1, 2, 4 and 8 devices, data parallel and fully sharded, and prints the
number and the bytes of its collectives, and the bytes of state that each device holds. Writes JSON with --out. Devices
are simulated on the CPU where there are none: XLA's CPU backend keeps a reduction and the cut after it apart, where
those for GPU and TPU have one reduce-scatter.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import tyro

from benchmarks.programs import compiled, images, simulate
from benchmarks.record import save
from experiments import edm_digits
from experiments.harness import training
from jaxdiff.train.step import Step
from jaxdiff.types import Key, PyTree

NAMES = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all", "collective-permute")
_CALL = re.compile(rf"= (\(.*?\)|\S+) ({'|'.join(NAMES)})(?:-start)?\(")
_ARRAY = re.compile(r"([a-z]+)(\d*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One operation: its name, the bytes of its results on a device, whether it carries arrays or numbers only."""

    name: str
    bytes: int
    arrays: bool


@dataclass(frozen=True)
class Config:
    """Collectives of one training step."""

    devices: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of devices."""
    batch_size: int = 128
    """Images a step, over all devices."""
    model_channels: int = 32
    """Width of the network."""
    dtype: str = "float32"
    """Type of computation."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/scaling-DEVICE.json."""


def collectives(text: str) -> list[Collective]:
    """Of a compiled program, as `compiled.as_text()` has it.

    Example:
      >>> collectives("%r = (f32[4,64]{1,0}, bf16[2]{0}, f32[]) all-reduce(%a, %b), channel_id=1")
      [Collective(name='all-reduce', bytes=1032, arrays=True)]
    """
    found = []
    for results, name in _CALL.findall(text):
        arrays = [
            (int(bits or 8) // 8, [int(n) for n in shape.split(",") if n]) for _, bits, shape in _ARRAY.findall(results)
        ]
        sizes = [size * math.prod(shape) if shape else size for size, shape in arrays]
        found.append(Collective(name, sum(sizes), any(shape for _, shape in arrays)))
    return found


def measure(step: Step, create: Callable[[Key], PyTree], batch: PyTree, num_devices: int, fsdp: int) -> dict[str, Any]:
    """Collectives of one step on the first devices, as `fit` compiles it.

    Args:
      step: as for `fit`; create(key) -> its state.
      batch: shapes of one global batch, [B, ...].
    Returns: {"collectives": {name: [number, bytes]}, "gradient_groups": reductions that carry arrays, ...}.
    """
    started = time.monotonic()
    program, state, cut = compiled(step, create, batch, num_devices, fsdp)
    found = collectives(program.as_text())
    numbers, total = Counter(one.name for one in found), Counter[str]()
    for one in found:
        total[one.name] += one.bytes
    reductions = [one for one in found if one.arrays and one.name in NAMES[:2]]
    held = jax.tree.map(lambda a, s: a.dtype.itemsize * math.prod(s.shard_shape(a.shape)), state, cut)
    return {
        "devices": num_devices,
        "fsdp": fsdp,
        "collectives": {name: [numbers[name], total[name]] for name in NAMES if numbers[name]},
        "gradient_groups": len(reductions),
        "gradient_bytes": sum(one.bytes for one in reductions),
        "state_bytes": sum(jax.tree.leaves(held)),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "compile_seconds": round(time.monotonic() - started, 1),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """One line a configuration."""
    print(f"{'devices':<9}{'fsdp':<6}{'gradient groups':<17}{'their MB':<10}{'state MB a device':<19}collectives (MB)")
    for row in rows:
        listed = ", ".join(f"{number} {name} ({size / 1e6:.2f})" for name, (number, size) in row["collectives"].items())
        print(
            f"{row['devices']:<9}{row['fsdp']:<6}{row['gradient_groups']:<17}{row['gradient_bytes'] / 1e6:<10.2f}"
            f"{row['state_bytes'] / 1e6:<19.2f}{listed or 'none'}"
        )


def main(config: Config) -> None:
    """Compile, print, write."""
    simulate(8)
    digits = edm_digits.Config(model_channels=config.model_channels, dtype=config.dtype)  # type: ignore[arg-type]
    how = training.trainer(digits, edm_digits.system(digits))
    batch = images((8, 8, 1), config.batch_size)
    ways = [(num, fsdp) for num in config.devices for fsdp in sorted({1, num})]
    rows = [measure(how.step, how.create, batch, num, fsdp) for num, fsdp in ways]
    show(rows)
    settings = {"batch_size": config.batch_size, "model_channels": config.model_channels, "dtype": config.dtype}
    save(config.out, {"rows": rows, **settings})


if __name__ == "__main__":
    main(tyro.cli(Config))
