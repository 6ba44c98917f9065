"""All benchmarks that need no trained run, one after another, and one table: python -m benchmarks

Each runs in a process of its own, so that none sees another's memory or flags, and writes its JSON to
OUT/NAME-DEVICE.json; what is there already is not run again, so that the command goes on where it was stopped.
`faults`, `families`, `consistency`, `truncation`, `solver_error` and `imports` take longer, need runs or float64 or
have no device, and are started by themselves.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from experiments.harness import workdir

Found = dict[str, Any]


def sampler(found: Found) -> dict[str, str]:
    return {
        "18 Heun steps / 35 evaluations": f"{found['steps_over_evaluations']:.3f}",
        "compile time, 180 steps / 18": f"{found['compile_ratio']:.3f}",
    }


def unet(found: Found) -> dict[str, str]:
    return {
        f"CIFAR-10 DDPM++, {name}": f"{row['images_per_second']:.3g} images/s, {row['share_of_convolution']:.2f} of a "
        "convolution's FLOP/s"
        for name, row in found["results"].items()
    }


def adversarial(found: Found) -> dict[str, str]:
    return {
        "GAN step / its passes": f"{found['ratio_of_seconds']:.3f} of the time, {found['ratio_of_flops']:.3f} FLOPs"
    }


def throughput(found: Found) -> dict[str, str]:
    rates = {
        name: f"{row['training_images_per_second']:.4g} images/s in training, "
        f"{row['sampling_images_per_second']:.4g} in sampling by {row['evaluations']} evaluations"
        for name, row in found["rows"].items()
    }
    data = {f"data / training step of {name}": f"{ratio:,.0f} x" for name, ratio in found["data_over_step"].items()}
    return rates | data


def data(found: Found) -> dict[str, str]:
    return {f"data from {name}": f"{rate:,} images/s" for name, rate in found["images_per_second"].items()}


def checkpoints(found: Found) -> dict[str, str]:
    share, cost = found["share_at_one_a_minute"], found["seconds_a_save"]
    return {"a save a minute": f"{share:.2%} of the time, {1e3 * cost:.0f} ms a save"}


def memory(found: Found) -> dict[str, str]:
    return {
        f"memory, {name}": f"{row['state'] / 1e6:.0f} MB of state, {row['temporary'] / 1e6:.0f} MB temporary"
        for name, row in found["rows"].items()
    }


def scaling(found: Found) -> dict[str, str]:
    return {
        f"{row['devices']} devices, fsdp {row['fsdp']}": f"{row['gradient_groups']} reductions of "
        f"{row['gradient_bytes'] / 1e6:.2f} MB, {row['state_bytes'] / 1e6:.2f} MB of state a device"
        for row in found["rows"]
        if row["devices"] > 1
    }


HEADLINES: dict[str, Callable[[Found], dict[str, str]]] = {
    run.__name__: run for run in (sampler, unet, adversarial, throughput, data, checkpoints, memory, scaling)
}


@dataclass(frozen=True)
class Config:
    """All benchmarks."""

    only: tuple[str, ...] = tuple(HEADLINES)
    """Benchmarks to run."""
    device: str = ""
    """Name of the device in the names of the files, such as h100; by default what JAX calls it."""
    out: Path = Path("benchmarks/results")
    """Folder of the JSON files."""
    again: bool = False
    """Run what is there already, too."""


def device_name() -> str:
    """As kept files have it: cpu-2-cores, nvidia-h100-80gb-hbm3."""
    # In a process of its own: one that has touched a GPU keeps most of its memory from the benchmarks.
    code = "import jax; print(jax.devices()[0].device_kind)"
    kind = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return f"cpu-{os.cpu_count()}-cores" if kind == "cpu" else "-".join(kind.lower().split())


def main(config: Config) -> None:
    """Run what is missing, print one table.

    Raises: SystemExit naming a benchmark that there is not, or the first that failed.
    """
    if unknown := [name for name in config.only if name not in HEADLINES]:
        sys.exit(f"only has unknown benchmarks {', '.join(unknown)}; known are {', '.join(HEADLINES)}")
    device = config.device or device_name()
    paths = {name: config.out / f"{name}-{device}.json" for name in config.only}
    for name, path in paths.items():
        if config.again or not path.exists():
            print(f"\n== {name}", flush=True)
            if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--out", str(path)], check=False).returncode:
                sys.exit(f"benchmarks.{name} failed; the others are kept, and the same command goes on")
    print()
    for name, path in paths.items():
        found = workdir.read_json(path)
        for index, (figure, value) in enumerate(HEADLINES[name](found).items()):
            print(f"{name if not index else '':<14}{figure:<42}{value}")


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks"))
