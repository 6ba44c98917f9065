"""Images a second in training and in sampling, and whether data keep up: python -m benchmarks.throughput

For every named experiment: its training step as `fit` compiles it, on random images of its data's shape, and its own
sampler in one compiled call; steady state, without compilation. The input pipeline is measured as well, batches of
CIFAR-10's size from the cache, and set against each training step that reads images of that size. Prints a table and
writes JSON with --out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import data
from benchmarks.programs import running
from benchmarks.record import save
from benchmarks.timing import best
from experiments import ddgan_digits, ddpm_digits, edm_cifar, edm_digits, score_sde_digits
from experiments.harness import generate
from experiments.harness.system import System
from jaxdiff.train import sharding


def cifar(batch_size: int = 4) -> edm_cifar.Config:
    """The paper's recipe with few images at once, for CPUs."""
    return edm_cifar.resolve(edm_cifar.Config(data="cifar10", batch_size=batch_size))


BENCHED: dict[str, tuple[Callable[..., Any], Callable[[Any], System]]] = {
    "edm_digits": (edm_digits.Config, edm_digits.system),
    "ddpm_digits": (ddpm_digits.Config, ddpm_digits.system),
    "score_sde_digits": (score_sde_digits.Config, score_sde_digits.system),
    "ddgan_digits": (ddgan_digits.Config, ddgan_digits.system),
    "edm_cifar": (cifar, edm_cifar.system),
}
"""What makes an experiment's config, and its system."""


@dataclass(frozen=True)
class Config:
    """Throughput of whole experiments."""

    names: tuple[str, ...] = tuple(BENCHED)
    """Experiments to measure."""
    batch: int = 0
    """Images a training step, and at most 100 drawn at once; 0 for each experiment's own, and 4 for edm_cifar."""
    repeats: int = 3
    """Timed calls; the shortest counts."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/throughput-DEVICE.json."""


def settings(name: str, batch: int) -> tuple[Any, System]:
    """(config, system) of an experiment at the batch that is asked for."""
    configure, build = BENCHED[name]
    config = configure(**({"batch_size": batch} if batch else {}))
    return config, build(config)


def training(config: Any, system: System, repeats: int) -> tuple[float, Any]:
    """Images a second of the step as `fit` runs it, and the state after it."""
    run, state, key, mesh = running(config, system)
    count = max(config.steps_per_dispatch, 1)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, config.batch_size, *system.shape)).astype(np.float32)
    labels = rng.integers(0, max(system.num_classes, 1), (count, config.batch_size)).astype(np.int32)
    batch = sharding.shard_batch({"image": images, "label": labels}, sharding.batch_sharding(mesh, axis=1))
    held = [state]

    def step() -> Any:
        held[0], metrics = run(held[0], key, batch)  # the state that went in is donated
        return metrics

    with jax.set_mesh(mesh):
        shortest = best(step, repeats)
    return count * config.batch_size / shortest, held[0]


def sampling(config: Any, system: System, params: Any, batch: int, repeats: int) -> tuple[float, int]:
    """Images a second of the experiment's own sampler, and its evaluations an image."""
    plan = system.sampling(config.num_steps)
    seeds = np.arange(batch)
    request = generate.request(system, plan, seeds)
    run = generate.compile_batch(system, request)
    labels = None if request.labels is None else jnp.asarray(request.labels)
    return batch / best(lambda: run(params, jnp.asarray(seeds, jnp.uint32), labels), repeats), plan.nfe


def measure(name: str, config: Config) -> dict[str, Any]:
    """Both rates of an experiment."""
    run_config, system = settings(name, config.batch)
    trained, state = training(run_config, system, config.repeats)
    num = min(run_config.batch_size, 100)
    drawn, nfe = sampling(run_config, system, state.ema, num, config.repeats)
    return {
        "training_images_per_second": trained,
        "batch": run_config.batch_size,
        "sampling_images_per_second": drawn,
        "sampled_at_once": num,
        "evaluations": nfe,
        "shape": list(system.shape),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.ema)),
    }


def main(config: Config) -> None:
    """Measure, print, write."""
    if unknown := [name for name in config.names if name not in BENCHED]:
        raise ValueError(f"names has unknown experiments {', '.join(unknown)}; known are {', '.join(BENCHED)}")
    rows = {}
    print(f"{'experiment':<20}{'training':>12}{'sampling':>12}{'evaluations':>13}  images/s")
    for name in config.names:
        row = rows[name] = measure(name, config)
        print(
            f"{name:<20}{row['training_images_per_second']:>12.2f}{row['sampling_images_per_second']:>12.2f}"
            f"{row['evaluations']:>13}"
        )
    read = data.cached(replace(data.Config(), num_images=10_000))
    print(f"{'data from the cache':<20}{read:>12,.0f}")
    needs = {n: read / r["training_images_per_second"] for n, r in rows.items() if r["shape"] == [32, 32, 3]}
    for name, ratio in needs.items():
        print(f"data / training step of {name}: {ratio:,.0f} x")
    save(config.out, {"rows": rows, "data_images_per_second": read, "data_over_step": needs})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.throughput"))
