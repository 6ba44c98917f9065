"""The CIFAR-10 DDPM++ network against one convolution: python -m benchmarks.unet --dtype float32 --batch 8

Training step (EDM loss, gradient, Adam, average) and 18 Heun steps: images/s, FLOP/s by the compiled program's own
count, their share of what one 3x3 convolution 128 -> 128 at 32x32 reaches in the same run on the same device and type
(forward and backward for training, forward for sampling), compile time and peak memory. Writes JSON with --out.
"""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
import tyro

from benchmarks.record import save
from benchmarks.timing import best, seconds
from experiments.harness import workdir
from experiments.systems import edm_recipes
from jaxdiff import grids, precond
from jaxdiff.losses import edm_loss
from jaxdiff.samplers import heun, sample
from jaxdiff.timesteps import lognormal_sigma
from jaxdiff.train import ema
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step


@dataclass(frozen=True)
class Config:
    """Throughput of the CIFAR-10 DDPM++ network."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of computation."""
    batch: int = 8
    """Images at once."""
    repeats: int = 3
    """Timed calls; the shortest counts."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/unet-DEVICE.json."""


def convolution(config: Config, backward: bool) -> float:
    """FLOP/s of one 3x3 convolution 128 -> 128 at 32x32, counted by hand."""
    x = jax.random.normal(jax.random.key(0), (config.batch, 32, 32, 128), config.dtype)
    w = jax.random.normal(jax.random.key(1), (3, 3, 128, 128), config.dtype) / 34

    def forward(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def both(x: jax.Array, w: jax.Array) -> Any:
        y, pull = jax.vjp(forward, x, w)
        return y, pull(y)

    run = jax.jit(both if backward else forward)
    flops = 2 * config.batch * 32 * 32 * 9 * 128 * 128 * (3 if backward else 1)
    return flops / best(lambda: run(x, w), 5 * config.repeats)


def measure(run: Callable[..., Any], arguments: tuple[Any, ...], config: Config) -> dict[str, Any]:
    """Images/s, FLOP/s by the compiler's count (a loop's body counts once), compile time and memory of a function."""
    compiled: list[Any] = []
    compile_seconds = seconds(lambda: compiled.append(jax.jit(run).lower(*arguments).compile()))
    shortest = best(lambda: compiled[0](*arguments), config.repeats)
    flops = compiled[0].cost_analysis()["flops"]
    memory = compiled[0].memory_analysis()
    return {
        "images_per_second": config.batch / shortest,
        "flops_per_second": flops / shortest,
        "seconds": shortest,
        "compile_seconds": compile_seconds,
        "temporary_megabytes": memory.temp_size_in_bytes / 1e6 if memory else None,
    }


def main(config: Config) -> None:
    """Measure, print, write."""
    net = edm_recipes.network(edm_recipes.CIFAR10_COND_VP, dtype=jnp.dtype(config.dtype))
    edm, optimizer = precond.edm(), optax.adam(1e-3)
    x = jax.random.normal(jax.random.key(0), (config.batch, 32, 32, 3))
    labels = jax.nn.one_hot(jnp.arange(config.batch) % 10, 10)
    params = jax.jit(net.init)(jax.random.key(1), x, jnp.zeros(config.batch))

    def loss(params: Any, key: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
        cond = {"class_labels": labels, "train": True, "rngs": {"dropout": key}}
        sigma = lognormal_sigma(jax.random.normal(key, (config.batch,)))
        noise = jax.random.normal(key, x.shape)
        return edm_loss(precond.denoiser(net.apply, params, edm, **cond), batch["image"], sigma, noise)

    def draw(params: Any, x: jax.Array) -> jax.Array:
        return sample(heun(), precond.denoiser(net.apply, params, edm, class_labels=labels), 80 * x, grids.karras(18))

    def evaluate(params: Any, x: jax.Array) -> jax.Array:
        return precond.denoiser(net.apply, params, edm, class_labels=labels)(x, jnp.ones(()))

    step = train_step(loss, optimizer, ema.decay(512, 500_000))
    key, batch = jax.random.key(2), {"image": x}
    found = {"training step": measure(step, (create(params, optimizer), key, batch), config)}
    found["one evaluation"] = measure(evaluate, (params, x), config)
    found["18 Heun steps"] = measure(draw, (params, x), config)
    flops = found["one evaluation"]["flops_per_second"] * found["one evaluation"]["seconds"]
    found["18 Heun steps"]["flops_per_second"] = 35 * flops / found["18 Heun steps"]["seconds"]
    ceiling = {True: convolution(config, backward=True), False: convolution(config, backward=False)}
    for name, row in found.items():
        row["share_of_convolution"] = row["flops_per_second"] / ceiling[name == "training step"]

    about = workdir.environment()
    print(f"{about['device']}, jax {about['versions']['jax']}, {config.dtype}, batch {config.batch}, {date.today()}")
    print(
        f"one convolution: {ceiling[False] / 1e9:.1f} GFLOP/s forward, {ceiling[True] / 1e9:.1f} forward and backward"
    )
    for name, row in found.items():
        print(
            f"{name:<15}{row['images_per_second']:9.2f} images/s{row['flops_per_second'] / 1e9:9.1f} GFLOP/s"
            f"{row['share_of_convolution']:7.2f} of the convolution{row['compile_seconds']:7.1f} s to compile"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory of the process: {peak:.2f} GB")
    record = {"config": {"dtype": config.dtype, "batch": config.batch}, "results": found, "peak_gigabytes": peak}
    record |= {"convolution_flops_per_second": {"forward": ceiling[False], "forward_backward": ceiling[True]}}
    save(config.out, record)


if __name__ == "__main__":
    main(tyro.cli(Config))
