"""A denoising diffusion GAN as a System: the process, both networks' training, and sampling with a latent a step."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.harness import allowed, devices, training
from experiments.harness.system import Exportable, Sampling, System, Trainer, copied
from jaxdiff import precond, process
from jaxdiff.interop.exported import Description
from jaxdiff.nets.ddgan.discriminator import Discriminator
from jaxdiff.nets.ddgan.generator import Generator
from jaxdiff.samplers import ddgan, direct, x0_sampler
from jaxdiff.train import adversarial, ema
from jaxdiff.train.adversarial import Discriminate, Generate, Networks
from jaxdiff.types import Array, Key, Params


@dataclass(frozen=True)
class DDGAN(training.Training):
    """What can be chosen of a denoising diffusion GAN.

    Its optimizers are its own: what `UNUSED` names is refused.
    """

    num_steps: int = 4
    """T, steps of the chain, in training as in sampling; 1 is a one-shot GAN."""
    beta_min: float = 0.1
    """beta(t) at the chain's start, of the VP SDE that it discretises."""
    beta_max: float = 20.0
    """beta(t) at the chain's end."""
    latent_dim: int = 50
    """Numbers in the latent; 0 for none: an ablation of the paper, in which one step is one Gaussian again."""
    direct: bool = False
    """The generator draws x_{t-1} itself instead of x0: another ablation."""
    learning_rate: float = 2e-4
    """Of the generator's Adam."""
    discriminator_rate: float = 1.5e-4
    """Of the discriminator's Adam."""
    gamma: float = 0.05
    """Weight of R1, the discriminator's squared gradient at real x_{t-1}."""
    r1_every: int = 1
    """R1 is added at steps that this divides."""
    decay: float = 0.999
    """Of the generator's average, a step."""


UNUSED = ("warmup", "cooldown", "clip_norm", "ema_halflife", "ema_rampup")
"""Flags of every experiment that these optimizers and this average do not have."""


def check_unused(config: DDGAN) -> None:
    """Raise ValueError for a flag of `UNUSED` that has a value of its own."""
    for field in fields(config):
        if field.name in UNUSED and getattr(config, field.name) != field.default:
            raise ValueError(
                f"{allowed.flag(field.name)} is not for a denoising diffusion GAN, whose optimizers are its own: "
                f"leave it {field.default}"
            )


def trainer_of(
    config: DDGAN,
    init: Callable[[Key], Networks],
    generator: Generate,
    discriminator: Discriminate,
    decayed: Callable[[float], optax.Schedule] | None = None,
) -> Trainer:
    """Train both networks: Adam(0.5, 0.9) with cosine decay to the end of the run.

    Args:
      init: key -> parameters of both.
      generator: (params, x, t, latent) -> x0, or x_{t-1}; discriminator: (params, x_prev, x, t) -> logits.
      decayed: first learning rate -> its schedule, where it is another.
    Raises: ValueError for values out of range.
    """
    allowed.check(config)
    check_unused(config)

    def adam(rate: float) -> optax.GradientTransformation:
        # Xiao et al. 2022, Appendix: Adam with beta_1 = 0.5, beta_2 = 0.9 and cosine decay.
        schedule = optax.cosine_decay_schedule(rate, config.steps, alpha=0.05) if decayed is None else decayed(rate)
        return optax.adam(schedule, b1=0.5, b2=0.9)

    optimizers = Networks(adam(config.learning_rate), adam(config.discriminator_rate))
    step = adversarial.adversarial_step(
        generator,
        discriminator,
        optimizers,
        process.ddgan.discretize(betas_of(config)),
        adversarial.draw_examples(config.num_steps, config.latent_dim),
        ema.constant_decay(config.decay),
        config.gamma,
        config.r1_every,
        process.ddgan.direct if config.direct else process.ddgan.sample_posterior,
        config.accumulate,
    )
    return Trainer(
        lambda key: adversarial.create(init(key), optimizers),
        step,
        trained=lambda params: params.generator,
        adopt=adopt,
    )


def adopt(state: Any, params: Params) -> Any:
    """Put a generator's parameters into a new state; the discriminator is a new one."""
    return state._replace(params=state.params._replace(generator=params), ema=copied(params))


def betas_of(config: DDGAN) -> Any:
    """Return the betas of the chain.

    Raises: ValueError for a range that is none.
    """
    if not 0 < config.beta_min < config.beta_max:
        raise ValueError(f"need 0 < beta_min < beta_max, got {config.beta_min}, {config.beta_max}")
    return process.betas.vp(config.num_steps, config.beta_min, config.beta_max)


def sampling(config: DDGAN, num_steps: int) -> Sampling:
    """Return the sampler: T steps, a latent each.

    Raises: ValueError for another number of steps than the chain's.
    """
    if num_steps != config.num_steps:
        raise ValueError(f"num_steps must be {config.num_steps}, the chain that was trained, got {num_steps}")
    sampler = ddgan(config.latent_dim, transition=direct() if config.direct else None)
    return Sampling("ddgan", sampler, process.betas.sigmas(betas_of(config)), nfe=num_steps)


def with_latent(config: DDGAN, apply_fn: Callable[..., Array], latent_dim: int) -> Generate:
    """Return a generator's `apply`, given zeros where the ablation has no latent."""
    if config.latent_dim:
        return apply_fn
    return lambda params, x, t, latent: apply_fn(params, x, t, jnp.zeros((x.shape[0], latent_dim), x.dtype))


def digit_networks(
    config: DDGAN, width: int, shape: tuple[int, int, int], **unet: Any
) -> tuple[Generator, Discriminator]:
    """Build small networks for images of digits: down to 4x4 pixels in the generator, to 2x2 in the discriminator.

    Args:
      width: channels of both at full resolution; shape: (H, H, C), H = 8, 16, 32.
      unet: attributes of the generator that replace its own.
    """
    size, _, channels = shape
    halvings = size.bit_length() - 3
    options: dict[str, Any] = {"channel_mult": (1, *[2] * halvings), "num_blocks": 1, "attn_resolutions": (4,)}
    generator = Generator(
        size,
        channels,
        channels,
        **{**options, "model_channels": width, **unet},
        latent_dim=config.latent_dim or 1,
        map_features=2 * width,
        map_layers=2,
    )
    mult = (1, 2, *[4] * halvings)
    return generator, Discriminator(channels, width, emb_channels=2 * width, channel_mult=mult, same=1)


def assemble(
    config: DDGAN,
    generator: Any,
    discriminator: Any,
    shape: tuple[int, ...],
    decayed: Callable[[float], optax.Schedule] | None = None,
) -> System:
    """Build the system of two networks of images.

    Args:
      generator, discriminator: of `nets.ddgan`.
      shape: (H, W, C); decayed: as `trainer_of`.
    Raises: ValueError when the minibatch deviation's groups do not divide the batch, or its parts.
    """
    group, parts = discriminator.group, config.accumulate
    if config.batch_size % (group * parts):
        rounds = f" times accumulate={parts}" if parts > 1 else ""
        raise ValueError(
            f"batch_size must be divisible by {group}, the minibatch deviation's group{rounds}, got {config.batch_size}"
        )
    generator, discriminator = (devices.computing(config, net) for net in (generator, discriminator))

    def init(key: Key) -> Networks:
        key_g, key_d = jax.random.split(key)
        x, t = jnp.zeros((1, *shape)), jnp.zeros(1)
        latent = jnp.ones((1, generator.latent_dim))
        return Networks(generator.init(key_g, x, t, latent), discriminator.init(key_d, x, x, t))

    generate = with_latent(config, generator.apply, generator.latent_dim)
    return on_process(config, init, generate, discriminator.apply, shape, decayed, generator)


def on_process(
    config: DDGAN,
    init: Callable[[Key], Networks],
    generator: Generate,
    discriminator: Discriminate,
    shape: tuple[int, ...],
    decayed: Callable[[float], optax.Schedule] | None = None,
    module: Any = None,
) -> System:
    """Build the system of two networks of any data.

    Args:
      init, generator, discriminator, decayed: as `trainer_of`; shape: of an example; module: of the generator.
    """
    betas = betas_of(config)
    chain = {"name": "vp", "num_steps": config.num_steps, "beta_min": config.beta_min, "beta_max": config.beta_max}
    described = Description({"name": "ddpm.x0", "betas": chain}, shape, "x0_sampler", latent_dim=config.latent_dim)
    return System(
        lambda key: init(key).generator,
        None,
        lambda params, labels: x0_sampler(generator, params, betas),  # type: ignore[arg-type,return-value]
        precond.ddpm.x0(betas),
        lambda num_steps: sampling(config, num_steps),
        shape,
        num_classes=0,
        trainer=trainer_of(config, init, generator, discriminator, decayed),
        latent_dim=config.latent_dim,
        # A description has no word for the ablation that draws x_{t-1} itself.
        exportable=None if module is None or config.direct else Exportable(module, described),
    )
