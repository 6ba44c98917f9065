"""A network trained on DDPM's chain as a System: prediction, variance, objective and times as they are chosen."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from experiments.harness import cli, training
from experiments.harness.system import DiscreteProcess, Sampling, System
from experiments.systems.ddpm_choices import OBJECTIVES, PREDICTIONS, SCHEDULES, TIMES, VARIANCES, check_objective
from experiments.systems.network import Network, conditioning, exportable, in_training
from jaxdiff import process
from jaxdiff.guidance import clip
from jaxdiff.losses import ddpm, elbo
from jaxdiff.losses.gaussian import discretized_gaussian
from jaxdiff.precond import denoiser, leading_channels
from jaxdiff.process import respacing
from jaxdiff.process.betas import Betas
from jaxdiff.samplers import ddim
from jaxdiff.types import Array, Batch, Denoiser, Params, expand


@dataclass(frozen=True)
class Diffusion(training.Training):
    """What can be chosen of a DDPM."""

    num_steps: int = 50
    """DDIM steps through the chain."""
    chain_length: int = 1_000
    """T, the number of steps of the forward chain."""
    schedule: Annotated[str, cli.one_of(SCHEDULES)] = "cosine"
    """Of the betas: Ho et al. 2020, or Nichol & Dhariwal 2021."""
    prediction: Annotated[str, cli.one_of(PREDICTIONS)] = "eps"
    """What the network returns: noise, clean image, velocity, or the mean of x_{t-1}."""
    variance: Annotated[str, cli.one_of(VARIANCES)] = "learned_range"
    """Of the reverse steps; the learned ones double the network's output channels."""
    objective: Annotated[str, cli.one_of(OBJECTIVES)] = "hybrid"
    """Loss: L_simple; hybrid adds the bound, which teaches learned variances only; vlb is the bound alone."""
    times: Annotated[str, cli.one_of(TIMES)] = "antithetic"
    """How training steps are drawn; antithetic pairs t with T - 1 - t in every batch; loss_aware takes a step the more
    often, the larger its last losses were, which objective vlb needs."""
    ddim_eta: float = 0.0
    """Share of noise in the DDIM steps that draw samples.npz."""


def check(config: Diffusion) -> None:
    """Raise ValueError for choices that exclude each other."""
    check_objective(config.objective, config.variance)
    if config.num_steps > config.chain_length:
        raise ValueError(f"num_steps={config.num_steps} exceeds chain_length={config.chain_length}")


def channels_of(config: Diffusion, channels: int) -> int:
    """Return the output channels that the network needs."""
    return channels * (2 if VARIANCES[config.variance].learned else 1)


def assemble(config: Diffusion, net: Network) -> System:
    """Build the system of a network whose output has the channels that `channels_of` asks for.

    Raises: ValueError for choices that exclude each other.
    """
    check(config)
    betas = SCHEDULES[config.schedule](config.chain_length)
    parametrisation, clipped = PREDICTIONS[config.prediction]
    precond, variance, objective = parametrisation(betas), VARIANCES[config.variance], OBJECTIVES[config.objective]
    sigmas = process.betas.sigmas(betas)[::-1]
    kernel = variance.kernel(process.betas.tables(betas).decoder_variance)

    def denoise(params: Params, labels: Array | None) -> Denoiser:
        return clip(denoiser(leading_channels(net.apply), params, precond, **conditioning(net, labels)))

    def model(params: Params, labels: Array | None) -> Any:
        return variance.on_x0(clipped, variance.ask(net.apply, params, precond, **conditioning(net, labels)))

    def loss_at(params: Params, keys: Any, batch: dict[str, Array], t: Array) -> Array:
        (key_noise, key_dropout), x0 = keys, batch["image"]
        channels = x0.shape[-1]
        sigma, noise = jnp.asarray(sigmas, x0.dtype)[t + 1], jax.random.normal(key_noise, x0.shape)
        x_t = expand(precond.c_in(sigma), x0) * (x0 + expand(sigma, x0) * noise)
        f = net.apply(params, x_t, precond.c_noise(sigma), **in_training(net, batch["label"], key_dropout))

        def simple(f: Batch) -> Array:
            return ddpm.simple_loss(f[..., :channels], precond, x0, sigma, noise)

        def vlb(f: Batch) -> Array:
            # Training does not clip: the bound's gradient would vanish outside.
            asked = variance.ask(lambda *_: f, None, precond)
            return ddpm.vlb_loss(elbo.ddpm_hvae(betas, kernel, asked, decoder(net.bins)), x0, t, noise)

        return objective.loss(f, simple, vlb, channels, config.chain_length)

    loss, trainer = TIMES[config.times](config, net.init, loss_at)
    sampling = partial(ddim_sampling, betas, config.ddim_eta)
    discrete = DiscreteProcess(betas, kernel, model, variance.learned, net.bins)
    chain = {"name": config.schedule, "num_steps": config.chain_length}
    described = exportable(net, {"name": f"ddpm.{config.prediction}", "betas": chain}, clip=True)
    return System(
        net.init, loss, denoise, precond, sampling, net.shape, net.num_classes, discrete, trainer=trainer,
        exportable=described,
    )  # fmt: skip


def decoder(bins: int) -> Any:
    """Return log p(x0 | x_1): a Gaussian over grey values."""
    return lambda x0, mean, log_variance: discretized_gaussian(x0, mean, log_variance / 2, bins)


def ddim_sampling(betas: Betas, eta: float, num_steps: int) -> Sampling:
    """Return DDIM through evenly spaced steps of the chain, from its noisiest level on."""
    steps = respacing.evenly(len(betas), num_steps)
    name = "ddim" if eta == 0 else f"ddim, eta {eta}"
    return Sampling(name, ddim(eta), process.betas.sigmas(respacing.respace(betas, steps)), nfe=num_steps)
