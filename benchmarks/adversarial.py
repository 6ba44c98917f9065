"""A step of DDGAN's training against the passes that it consists of: python -m benchmarks.adversarial

The step is one compiled program. Its parts, each compiled alone, are: the draws and pairs of both halves; the generator
forward, for the discriminator's fakes; the discriminator's loss and gradient on real and fake, with R1, which is a
gradient of a gradient; the generator's loss and gradient through the discriminator; both Adam updates and the average.
Prints seconds and FLOPs of each, by the compiler's own count, and the step's share of their sum; the networks are
convolutional, those of `experiments.ddgan_cifar --data digits`. Step and parts take turns, so that a ratio is of one
moment of one machine; the median of all turns counts. Writes JSON with --out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from benchmarks.record import save
from benchmarks.timing import seconds
from experiments import ddgan_cifar
from experiments.harness import workdir
from experiments.systems import ddgan
from jaxdiff import process
from jaxdiff.losses import adversarial
from jaxdiff.train import ema
from jaxdiff.train.adversarial import Networks, draw_examples
from jaxdiff.types import Array


@dataclass(frozen=True)
class Config:
    """Cost of a GAN step."""

    batch: int = 64
    """Images a step."""
    r1_every: int = 1
    """R1 is added at steps that this divides; only 1 has the parts of one step at every step."""
    repeats: int = 20
    """Turns; the median counts."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/adversarial-DEVICE.json."""


class Part(NamedTuple):
    """A compiled function, what it is called with, and its FLOPs."""

    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    flops: float


def compiled(run: Callable[..., Any], *arguments: Any) -> Part:
    """Ahead of time, so that nothing is compiled while time is taken."""
    program = jax.jit(run).lower(*arguments).compile()
    return Part(program, arguments, program.cost_analysis()["flops"])


def parts(config: ddgan_cifar.Config) -> dict[str, Part]:
    """The step and its parts, by name; the step is first."""
    generator, discriminator = ddgan.digit_networks(config, config.model_channels, (8, 8, 1))
    trainer = ddgan.assemble(config, generator, discriminator, (8, 8, 1)).trainer
    assert trainer is not None
    key = jax.random.key(0)
    state = jax.jit(trainer.create)(key)
    batch = {"image": jnp.tanh(jax.random.normal(key, (config.batch_size, 8, 8, 1)))}
    chain = process.ddgan.discretize(ddgan.betas_of(config))
    draw = draw_examples(config.num_steps, config.latent_dim)
    g, d = state.params
    adam = Networks(*(optax.adam(rate, b1=0.5, b2=0.9) for rate in (config.learning_rate, config.discriminator_rate)))

    def draws(key: Array, batch: Any) -> Any:
        x0, *both = draw(key, batch)
        return [(process.ddgan.pair(chain, x0, half.t, half.noise_prev, half.noise), half) for half in both]

    def fake(g: Any, x: Array, half: Any) -> Array:
        x0 = generator.apply(g, x, half.t.astype(x.dtype), half.latent)
        return process.ddgan.sample_posterior(chain, x0, x, half.t, half.noise_posterior)

    def logits(d: Any, x_prev: Array, x: Array, half: Any) -> Array:
        return discriminator.apply(d, x_prev, x, half.t.astype(x.dtype))

    def d_loss(d: Any, pair: Any, x_fake: Array, half: Any) -> Array:
        real, r1 = adversarial.real_loss_with_r1(lambda x_prev: logits(d, x_prev, pair[1], half), pair[0], config.gamma)
        return jnp.mean(real + r1 + adversarial.fake_loss(logits(d, x_fake, pair[1], half)))

    def g_loss(g: Any, d: Any, pair: Any, half: Any) -> Array:
        return jnp.mean(adversarial.real_loss(logits(d, fake(g, pair[1], half), pair[1], half)))

    def update(params: Any, grads: Any, opt_state: Any, average: Any) -> Any:
        found = [
            optimizer.update(grad, old, p)
            for optimizer, p, grad, old in zip(adam, params, grads, opt_state, strict=True)
        ]
        moved = [optax.apply_updates(p, updates) for p, (updates, _) in zip(params, found, strict=True)]
        return moved, [new for _, new in found], ema.update(average, moved[0], jnp.asarray(config.decay))

    (pair_d, half_d), (pair_g, half_g) = jax.jit(draws)(key, batch)
    opt_state = tuple(optimizer.init(p) for optimizer, p in zip(adam, state.params, strict=True))
    return {
        "step": compiled(trainer.step, state, key, batch),
        "draws and pairs": compiled(draws, key, batch),
        "generator forward": compiled(fake, g, pair_d[1], half_d),
        "discriminator gradient, R1": compiled(jax.value_and_grad(d_loss), d, pair_d, pair_d[0], half_d),
        "generator gradient": compiled(jax.value_and_grad(g_loss), g, d, pair_g, half_g),
        "updates and average": compiled(update, (g, d), (g, d), opt_state, state.ema),
    }


def main(config: Config) -> None:
    """Measure, print, write."""
    digits = ddgan_cifar.resolve(ddgan_cifar.Config(batch_size=config.batch, r1_every=config.r1_every))
    programs = parts(digits)
    turn = lambda: [seconds(lambda p=p: p.run(*p.arguments)) for p in programs.values()]  # noqa: E731
    turn()
    times = np.array([turn() for _ in range(config.repeats)])
    flops = [part.flops for part in programs.values()]
    ratios = times[:, 0] / times[:, 1:].sum(axis=1)
    found = {
        "seconds": dict(zip(programs, np.median(times, axis=0).tolist(), strict=True)),
        "flops": dict(zip(programs, flops, strict=True)),
        "ratio_of_seconds": float(np.median(ratios)),
        "ratio_quartiles": np.quantile(ratios, [0.25, 0.75]).tolist(),
        "ratio_of_flops": flops[0] / sum(flops[1:]),
    }
    about = workdir.environment()
    print(f"{about['device']}, jax {about['versions']['jax']}, batch {config.batch}, {date.today()}")
    for name in programs:
        print(f"{name:<28}{1e3 * found['seconds'][name]:9.2f} ms{found['flops'][name] / 1e6:10.1f} MFLOP")
    low, high = found["ratio_quartiles"]
    print(
        f"step / sum of its parts: {found['ratio_of_seconds']:.3f} of the time (quartiles {low:.3f} to {high:.3f}), "
        f"{found['ratio_of_flops']:.3f} of the FLOPs"
    )
    settings = {"batch": config.batch, "r1_every": config.r1_every, "repeats": config.repeats}
    save(config.out, {"config": settings, **found})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.adversarial"))
