"""A network trained on a score SDE in continuous time as a System: the SDE, the weighting and the dequantisation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.harness import cli, training
from experiments.harness.samplers import predictor_corrector
from experiments.harness.system import SDEModel, System
from experiments.systems.network import Network, conditioning, exportable, in_training
from jaxdiff import precond, process
from jaxdiff.losses.bits import dequantize
from jaxdiff.losses.score import score_loss
from jaxdiff.precond import Preconditioning, denoiser
from jaxdiff.process.sde import SDE
from jaxdiff.timesteps.times import likelihood_times, uniform_times
from jaxdiff.types import Array, Denoiser, Key, Params, Score


class Process(NamedTuple):
    """sde(config); parametrisation(config, sde): the authors' own, for data in [-1, 1]; epsilon: last time of sampling.

    described(config): the parametrisation as `jaxdiff.interop.exported` has it
    Reference: Song et al. 2021, Appendix C.
    """

    sde: Callable[[Any], SDE]
    parametrisation: Callable[[Any, SDE], Preconditioning]
    epsilon: float
    described: Callable[[Any], dict[str, Any]]


def eps_of(config: Any, sde: SDE) -> Preconditioning:
    """Return the parametrisation by the noise, of VP and sub-VP."""
    return precond.score_sde.eps(sde, epsilon=config.epsilon)


def described(name: str, config: Any) -> dict[str, Any]:
    """Return the same in plain values."""
    sde = {"name": name, "beta_min": config.beta_min, "beta_max": config.beta_max}
    return {"name": "score_sde.eps", "sde": sde, "epsilon": config.epsilon}


SDES = {
    "vp": Process(
        lambda config: process.sde.vp(config.beta_min, config.beta_max), eps_of, 1e-3, partial(described, "vp")
    ),
    "subvp": Process(
        lambda config: process.sde.subvp(config.beta_min, config.beta_max), eps_of, 1e-3, partial(described, "subvp")
    ),
    "ve": Process(
        lambda config: process.sde.ve(config.sigma_min, config.sigma_max),
        lambda config, sde: precond.ve(config.sigma_min, config.sigma_max),
        1e-5,
        lambda config: {"name": "ve", "sigma_min": config.sigma_min, "sigma_max": config.sigma_max},
    ),
}


class Weighting(NamedTuple):
    """times(sde, uniform, epsilon) -> (t [B], factor on the loss); weight(sde) -> of t, None for std(t)^2."""

    times: Callable[[SDE, Array, float], tuple[Array, Any]]
    weight: Callable[[SDE], Callable[[Array], Array] | None]


def plain_times(sde: SDE, uniform: Array, epsilon: float) -> tuple[Array, Any]:
    """Return uniform times, whose losses count as they are."""
    return uniform_times(uniform, epsilon), 1.0


WEIGHTINGS = {
    "std": Weighting(plain_times, lambda sde: None),
    "likelihood": Weighting(plain_times, lambda sde: lambda t: sde.g(t) ** 2),
    "importance": Weighting(likelihood_times, lambda sde: None),
}


@dataclass(frozen=True)
class ScoreSDE(training.Training):
    """What can be chosen of a score SDE."""

    num_steps: int = 500
    """Predictor steps, each with one correction: twice as many evaluations."""
    grid_every: int = 50_000
    """Steps between grids of samples, seeds 0 to 79, in WORKDIR/grids; 0 for none. Each costs 1,000 evaluations."""
    sde: Annotated[str, cli.one_of(SDES)] = "vp"
    """Forward process."""
    beta_min: float = 0.1
    """VP, sub-VP: beta at t = 0."""
    beta_max: float = 20.0
    """VP, sub-VP: beta at t = 1."""
    sigma_min: float = 0.02
    """VE: lowest noise level, for data in [-1, 1]."""
    sigma_max: float = 100.0
    """VE: highest noise level; about the largest distance between two images of the data."""
    epsilon: float = 1e-5
    """Earliest time in training."""
    weighting: Annotated[str, cli.one_of(WEIGHTINGS)] = "std"
    """Of the score's error: std(t)^2; g(t)^2, which bounds the likelihood; or the latter by importance-sampled t."""
    dequantize: bool = False
    """Spread every grey value over its bin, as a likelihood of discrete data asks for."""
    snr: float = 0.16
    """Signal-to-noise ratio of the corrector."""


def assemble(config: ScoreSDE, net: Network) -> System:
    """Build the system of a network.

    Raises: ValueError for values out of range.
    """
    chosen, weighting = SDES[config.sde], WEIGHTINGS[config.weighting]
    sde = chosen.sde(config)
    parametrisation = chosen.parametrisation(config, sde)
    uniform_times(jnp.zeros(1), config.epsilon)  # for what it refuses

    def denoise(params: Params, labels: Array | None) -> Denoiser:
        return denoiser(net.apply, params, parametrisation, **conditioning(net, labels))

    def score_of(params: Params, cond: dict[str, Any]) -> Score:
        return precond.score_sde.score(net.apply, params, parametrisation, sde, **cond)

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_t, key_noise, key_dropout, key_bins = jax.random.split(key, 4)
        x0 = batch["image"]
        if config.dequantize:
            x0 = dequantize(pixels_of(x0, net.bins), jax.random.uniform(key_bins, x0.shape), net.bins)
        uniform, noise = jax.random.uniform(key_t, x0.shape[:1]), jax.random.normal(key_noise, x0.shape)
        t, factor = weighting.times(sde, uniform, config.epsilon)
        score = score_of(params, in_training(net, batch["label"], key_dropout))
        return factor * score_loss(score, sde, x0, t, noise, weighting.weight(sde))

    sampling = partial(predictor_corrector, sde, chosen.epsilon, config.snr)
    model = SDEModel(sde, lambda params, labels: score_of(params, conditioning(net, labels)), net.bins, chosen.epsilon)
    return System(
        net.init, loss, denoise, parametrisation, sampling, net.shape, net.num_classes, sde_model=model,
        exportable=exportable(net, chosen.described(config)),
    )  # fmt: skip


def pixels_of(images: Array, bins: int) -> Array:
    """Return grey values 0 .. bins - 1 of images in [-1, 1]."""
    return jnp.round((images + 1) / 2 * (bins - 1))
