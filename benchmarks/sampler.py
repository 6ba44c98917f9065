"""What the sampling loop costs beyond the network it calls: python -m benchmarks.sampler

Prints the time of 18 Heun steps over that of their 35 evaluations made alone, the time to compile 180 steps over that
for 18, and the same with the memory for 1,000 and 10 ancestral steps, on the network of `experiments.edm_digits`.
Ratios within one run; medians, in turn A B A B. Writes JSON with --out.
"""

import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from benchmarks.record import save
from benchmarks.timing import seconds
from experiments import edm_digits
from experiments.harness import workdir
from jaxdiff import grids
from jaxdiff.process import betas
from jaxdiff.samplers import ancestral, heun, sample


@dataclass(frozen=True)
class Config:
    """Overhead of the sampling loop on the digits network."""

    batch: int = 256
    """Images drawn at once."""
    repeats: int = 7
    """Timed pairs; the median is printed."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/sampler-DEVICE.json."""


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

    @partial(jax.jit, static_argnums=2)
    def draw_ancestral(params: Any, x: jax.Array, num_steps: int) -> jax.Array:
        levels = betas.sigmas(betas.cosine(num_steps))
        return sample(ancestral(), system.denoiser(params, labels), x, levels, key=jax.random.key(2))

    def compiled(run: Any, num_steps: int) -> tuple[float, int]:
        """Seconds to compile, and bytes of temporary memory."""
        jax.clear_caches()
        programs: list[Any] = []
        taken = seconds(lambda: programs.append(run.lower(params, x, num_steps).compile()))
        return taken, programs[0].memory_analysis().temp_size_in_bytes

    compiled(draw, 18)
    heun_pairs = [(compiled(draw, 180), compiled(draw, 18)) for _ in range(3)]
    ancestral_pairs = [(compiled(draw_ancestral, 1000), compiled(draw_ancestral, 10)) for _ in range(3)]
    ratio, ratio_ancestral = (
        statistics.median(long[0] / short[0] for long, short in pairs) for pairs in (heun_pairs, ancestral_pairs)
    )
    memory = [program[1] / 1e6 for program in ancestral_pairs[0]]
    found = workdir.environment()
    print(f"device {found['device']}, jax {found['versions']['jax']}, batch {config.batch}")
    print(f"18 Heun steps / 35 evaluations of the jitted denoiser: {overhead:.3f}  (asked: at most 1.05)")
    print(f"compile time of 180 steps / 18 steps: {ratio:.3f}  (asked: within 20 %)")
    print(
        f"compile time of 1,000 ancestral steps / 10 steps: {ratio_ancestral:.3f}; temporary memory of each: "
        f"{memory[0]:.2f} and {memory[1]:.2f} MB"
    )
    print(f"18 steps take {statistics.median(a for a, _ in pairs):.2f} s; compiling takes {heun_pairs[0][1][0]:.1f} s")
    ratios = {"compile_ratio": ratio, "ancestral_compile_ratio": ratio_ancestral, "ancestral_megabytes": memory}
    save(config.out, {"steps_over_evaluations": overhead, **ratios, "batch": config.batch})


if __name__ == "__main__":
    main(tyro.cli(Config))
