"""What the sampling loop costs beyond the network it calls: python -m benchmarks.sampler

Prints the time of 18 Heun steps over that of their 35 evaluations made alone, and the time to compile 180 steps over
that for 18, on the network of `experiments.edm_digits`. Ratios within one run; medians, in turn A B A B.
"""

import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from benchmarks.timing import seconds
from experiments import edm_digits, workdir
from jaxdiff import grids
from jaxdiff.samplers import heun, sample


@dataclass(frozen=True)
class Config:
    """Overhead of the sampling loop on the digits network."""

    batch: int = 256
    """Images drawn at once."""
    repeats: int = 7
    """Timed pairs; the median is printed."""


def main(config: Config) -> None:
    """Measure and print."""
    system = edm_digits.system(edm_digits.Config())
    params = jax.jit(system.init)(jax.random.key(0))
    labels = jnp.arange(config.batch) % 10
    x = 80.0 * jax.random.normal(jax.random.key(1), (config.batch, *system.shape))

    @jax.jit
    def evaluate(params: Any, x: jax.Array, sigma: jax.Array) -> jax.Array:
        return system.denoiser(params, labels)(x, sigma)

    @partial(jax.jit, static_argnums=2)
    def draw(params: Any, x: jax.Array, num_steps: int) -> jax.Array:
        return sample(heun(), system.denoiser(params, labels), x, grids.karras(num_steps))

    def evaluations() -> jax.Array:
        y = x
        for _ in range(35):
            y = evaluate(params, y, sigma)
        return y

    sigma = jnp.array(1.0)
    jax.block_until_ready((evaluations(), draw(params, x, 18)))
    pairs = [(seconds(lambda: draw(params, x, 18)), seconds(evaluations)) for _ in range(config.repeats)]
    overhead = statistics.median(a / b for a, b in pairs)

    def compile_seconds(num_steps: int) -> float:
        jax.clear_caches()
        return seconds(lambda: draw.lower(params, x, num_steps).compile() and 0)

    compile_seconds(18)
    compiled = [(compile_seconds(180), compile_seconds(18)) for _ in range(3)]
    ratio = statistics.median(a / b for a, b in compiled)
    found = workdir.environment()
    print(f"device {found['device']}, jax {found['versions']['jax']}, batch {config.batch}")
    print(f"18 Heun steps / 35 evaluations of the jitted denoiser: {overhead:.3f}  (asked: at most 1.05)")
    print(f"compile time of 180 steps / 18 steps: {ratio:.3f}  (asked: within 20 %)")
    print(f"18 steps take {statistics.median(a for a, _ in pairs):.2f} s; compiling takes {compiled[0][1]:.1f} s")


if __name__ == "__main__":
    main(tyro.cli(Config))
