"""A network trained on a score SDE in continuous time as a System: the SDE, the weighting and the dequantisation."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import devices, stages
from experiments.system import Continuous, Sampling, System
from jaxdiff import continuous, flow, precond
from jaxdiff import sde as sdes
from jaxdiff.losses.likelihood import dequantize
from jaxdiff.losses.score import likelihood_times, score_loss, uniform_times
from jaxdiff.precond import Preconditioning, denoiser
from jaxdiff.samplers import langevin, predictor
from jaxdiff.samplers.predictors import reverse_diffusion
from jaxdiff.sde import SDE
from jaxdiff.types import Array, Denoiser, Key, Params


@dataclass(frozen=True)
class ScoreSDE(stages.Training):
    """What can be chosen of a score SDE."""

    num_steps: int = 500
    """Predictor steps, each with one correction: twice as many evaluations."""
    grid_every: int = 50_000
    """Steps between grids of samples, seeds 0 to 79, in WORKDIR/grids; 0 for none. Each costs 1,000 evaluations."""
    sde: Literal["vp", "subvp", "ve"] = "vp"
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
    weighting: Literal["std", "likelihood", "importance"] = "std"
    """Of the score's error: std(t)^2; g(t)^2, which bounds the likelihood; or the latter by importance-sampled t."""
    dequantize: bool = False
    """Spread every grey level over its bin, as a likelihood of discrete data asks for."""
    snr: float = 0.16
    """Signal-to-noise ratio of the corrector."""


def sde_of(config: ScoreSDE) -> SDE:
    """The forward process.

    Raises: ValueError for a range that is none.
    """
    if config.sde == "ve":
        return sdes.ve(config.sigma_min, config.sigma_max)
    return {"vp": sdes.vp, "subvp": sdes.subvp}[config.sde](config.beta_min, config.beta_max)


def row_of(config: ScoreSDE, sde: SDE) -> Preconditioning:
    """What the network predicts and how it is told the time: the authors' own, for data in [-1, 1]."""
    if config.sde == "ve":
        return precond.ve(config.sigma_min, config.sigma_max)
    return continuous.eps(sde, epsilon=config.epsilon)


def assemble(config: ScoreSDE, net: Any, init: Any, shape: tuple[int, ...], classes: int, bins: int) -> System:
    """The system of a network.

    Args:
      net: apply(params, x, c_noise, class_labels, train, rngs); init(key) -> params.
      shape, classes, bins: of the data: (H, W, C), number of classes, number of grey levels.
    Raises: ValueError for values out of range.
    """
    net = devices.computing(config, net)
    sde = sde_of(config)
    row = row_of(config, sde)
    uniform_times(jnp.zeros(1), config.epsilon)

    def condition(labels: Array | None) -> dict[str, Any]:
        return {} if labels is None or not classes else {"class_labels": jax.nn.one_hot(labels, classes)}

    def denoise(params: Params, labels: Array | None) -> Denoiser:
        return denoiser(net.apply, params, row, **condition(labels))

    def score(params: Params, labels: Array | None, **train: Any) -> flow.Score:
        return continuous.score(net.apply, params, row, sde, **condition(labels), **train)

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_t, key_noise, key_dropout, key_bins = jax.random.split(key, 4)
        x0 = batch["image"]
        if config.dequantize:
            x0 = dequantize(pixels_of(x0, bins), jax.random.uniform(key_bins, x0.shape), bins)
        uniform, noise = jax.random.uniform(key_t, x0.shape[:1]), jax.random.normal(key_noise, x0.shape)
        of_network = score(params, batch["label"], train=True, rngs={"dropout": key_dropout})
        if config.weighting == "importance":
            t, total = likelihood_times(sde, uniform, config.epsilon)
            return total * score_loss(of_network, sde, x0, t, noise)
        weight = (lambda t: sde.g(t) ** 2) if config.weighting == "likelihood" else None
        return score_loss(of_network, sde, x0, uniform_times(uniform, config.epsilon), noise, weight)

    # Song et al. 2021, Appendix C.
    earliest = 1e-5 if config.sde == "ve" else 1e-3
    sampling = partial(predictor_corrector, sde, earliest, config.snr)
    along = Continuous(sde, score, bins, earliest)
    return System(init, loss, denoise, row, sampling, shape, classes, continuous=along)


def pixels_of(images: Array, bins: int) -> Array:
    """Grey levels 0 .. bins - 1 of images in [-1, 1]."""
    return jnp.round((images + 1) / 2 * (bins - 1))


def predictor_corrector(sde: SDE, epsilon: float, snr: float, num_steps: int) -> Sampling:
    """Reverse diffusion with one Langevin correction a step: Song et al. 2021, Algorithms 2 and 3."""
    sampler = langevin(predictor(sde, reverse_diffusion), sde, snr)
    grid = sdes.grid(sde, num_steps, epsilon)
    sde.step(np.ones(()), num_steps)  # for what it refuses: VP's chain needs more steps than beta_max
    return Sampling("predictor_corrector", sampler, grid, nfe=2 * num_steps)
