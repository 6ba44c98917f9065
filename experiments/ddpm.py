"""A network trained on DDPM's chain as a System: prediction, variance, objective and times as they are chosen."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from experiments import devices, stages
from experiments.system import Chain, Learning, Sampling, System
from jaxdiff import betas as chains
from jaxdiff import chain, respacing, reverse
from jaxdiff.betas import Betas
from jaxdiff.guidance import clip, on_x0
from jaxdiff.losses import ddpm, elbo, importance
from jaxdiff.losses.likelihood import discretized_gaussian
from jaxdiff.precond import Preconditioning, denoiser, denoiser_with_variance, leading_channels
from jaxdiff.samplers import ddim
from jaxdiff.train.loss_aware import LossAwareState, LossOfSteps, loss_aware_step
from jaxdiff.train.state import create
from jaxdiff.types import Array, Denoiser, Key, Params, expand

LEARNED = ("learned", "learned_range")


@dataclass(frozen=True)
class Diffusion(stages.Training):
    """What can be chosen of a DDPM."""

    num_steps: int = 50
    """DDIM steps through the chain."""
    chain_length: int = 1_000
    """T, the number of steps of the forward chain."""
    schedule: Literal["linear", "cosine"] = "cosine"
    """Of the betas: Ho et al. 2020, or Nichol & Dhariwal 2021."""
    prediction: Literal["eps", "x0", "v", "mu"] = "eps"
    """What the network returns: noise, clean image, velocity, or the mean of x_{t-1}."""
    variance: Literal["small", "large", "learned", "learned_range"] = "learned_range"
    """Of the reverse steps; the learned ones double the network's output channels."""
    objective: Literal["simple", "hybrid", "vlb"] = "hybrid"
    """Loss: L_simple; hybrid adds the bound, which teaches learned variances only; vlb is the bound alone."""
    times: Literal["uniform", "antithetic", "loss_aware"] = "antithetic"
    """How training steps are drawn; antithetic pairs t with T - 1 - t in every batch; loss_aware takes a step the more
    often, the larger its last losses were, which objective vlb needs."""
    ddim_eta: float = 0.0
    """Share of noise in the DDIM steps that draw samples.npz."""


def check(config: Diffusion) -> None:
    """Raise ValueError for choices that exclude each other."""
    if config.objective == "hybrid" and config.variance not in LEARNED:
        raise ValueError(f"objective hybrid teaches a learned variance, but variance is {config.variance}: use simple")
    if config.objective == "simple" and config.variance in LEARNED:
        raise ValueError(f"objective simple teaches no variance, but variance is {config.variance}: use hybrid or vlb")
    if config.num_steps > config.chain_length:
        raise ValueError(f"num_steps={config.num_steps} exceeds chain_length={config.chain_length}")


def channels_of(config: Diffusion, channels: int) -> int:
    """Output channels that the network needs."""
    return channels * (2 if config.variance in LEARNED else 1)


def betas_of(config: Diffusion) -> Betas:
    """The forward chain."""
    return {"linear": chains.linear, "cosine": chains.cosine}[config.schedule](config.chain_length)


def assemble(config: Diffusion, net: Any, init: Any, shape: tuple[int, ...], classes: int, bins: int) -> System:
    """The system of a network whose output has the channels that `channels_of` asks for.

    Args:
      net: apply(params, x, c_noise, class_labels, train, rngs); init(key) -> params.
      shape, classes, bins: of the data: (H, W, C), number of classes, number of grey levels.
    Raises: ValueError for choices that exclude each other.
    """
    check(config)
    net = devices.computing(config, net)
    betas = betas_of(config)
    rows = {"eps": chain.eps, "x0": chain.x0, "v": chain.v, "mu": chain.mu}
    row: Preconditioning = rows[config.prediction](betas)
    levels = chains.sigmas(betas)[::-1]
    p = reverse_of(config, betas)
    sampling = partial(ddim_sampling, betas, config.ddim_eta)
    # The mean of x_{t-1} is the network's output as it is, so that a bound on x0 has no place there.
    bounded = (lambda denoise: denoise) if config.prediction == "mu" else clip

    def condition(labels: Array | None) -> dict[str, Any]:
        return {} if labels is None or not classes else {"class_labels": jax.nn.one_hot(labels, classes)}

    def denoise(params: Params, labels: Array | None) -> Denoiser:
        return clip(denoiser(leading_channels(net.apply), params, row, **condition(labels)))

    def model_of(apply_fn: Any, params: Params, **cond: Any) -> Any:
        if config.variance in LEARNED:
            return on_x0(bounded, denoiser_with_variance(apply_fn, params, row, **cond))
        return bounded(denoiser(apply_fn, params, row, **cond))

    def model(params: Params, labels: Array | None) -> Any:
        return model_of(net.apply, params, **condition(labels))

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_t, *others = jax.random.split(key, 3)
        return at(params, others, batch, draw_times(config, key_t, batch["image"].shape[0]))

    def loss_at(params: Params, key: Key, batch: dict[str, Array], t: Array) -> Array:
        return at(params, list(jax.random.split(key)), batch, t)

    def at(params: Params, keys: list[Key], batch: dict[str, Array], t: Array) -> Array:
        (key_noise, key_dropout), x0 = keys, batch["image"]
        sigma, noise = jnp.asarray(levels, x0.dtype)[t + 1], jax.random.normal(key_noise, x0.shape)
        x_t = expand(row.c_in(sigma), x0) * (x0 + expand(sigma, x0) * noise)
        cond = {**condition(batch["label"]), "train": True, "rngs": {"dropout": key_dropout}}
        f = net.apply(params, x_t, row.c_noise(sigma), **cond)
        simple = ddpm.simple_loss(f[..., : x0.shape[-1]], row, x0, sigma, noise)
        if config.objective == "simple":
            return simple
        given = f if config.objective == "vlb" else ddpm.stop_mean(f, x0.shape[-1])
        # Training does not clip: the bound's gradient would vanish outside.
        asked = denoiser_with_variance if config.variance in LEARNED else denoiser
        hvae = elbo.diffusion(betas, p, asked(lambda *_: given, None, row), decoder(bins))
        vlb = ddpm.vlb_loss(hvae, x0, t, noise)
        return vlb if config.objective == "vlb" else ddpm.hybrid_loss(simple, vlb, config.chain_length)

    chained = Chain(betas, p, model, config.variance in LEARNED, bins)
    learning = loss_aware(config, init, loss_at) if config.times == "loss_aware" else None
    return System(init, None if learning else loss, denoise, row, sampling, shape, classes, chained, learning=learning)


def loss_aware(config: Diffusion, init: Any, loss_at: LossOfSteps) -> Learning:
    """Adam on losses at steps that are drawn by the losses so far (Nichol & Dhariwal 2021, section 3.3)."""
    adam = stages.optimizer(config)
    history = importance.empty_history(config.chain_length)
    step = loss_aware_step(loss_at, adam, stages.average(config), config.accumulate)
    return Learning(lambda key: LossAwareState(*create(init(key), adam), history), step)


def decoder(bins: int) -> Any:
    """log p(x0 | x_1): a Gaussian over grey levels."""
    return lambda x0, mean, log_variance: discretized_gaussian(x0, mean, log_variance / 2, bins)


def reverse_of(config: Diffusion, betas: Betas) -> reverse.Reverse:
    """The reverse step of the chosen variance."""
    floor = chains.tables(betas).decoder_variance
    return {
        "small": lambda: reverse.fixed(reverse.small, floor),
        "large": lambda: reverse.fixed(reverse.large, floor),
        "learned": reverse.learned,
        "learned_range": lambda: reverse.learned_range(floor),
    }[config.variance]()


def draw_times(config: Diffusion, key: Key, batch: int) -> Array:
    """Training steps t, [batch]."""
    if config.times == "uniform":
        return jax.random.randint(key, (batch,), 0, config.chain_length)
    return importance.antithetic_steps(jax.random.uniform(key, (-(-batch // 2),)), config.chain_length, batch)


def ddim_sampling(betas: Betas, eta: float, num_steps: int) -> Sampling:
    """DDIM through evenly spaced steps of the chain, from its noisiest level on."""
    steps = respacing.evenly(len(betas), num_steps)
    name = "ddim" if eta == 0 else f"ddim, eta {eta}"
    return Sampling(name, ddim(eta), chains.sigmas(respacing.respace(betas, steps)), nfe=num_steps)
