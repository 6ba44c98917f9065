"""EDM as a System: a network in a parametrisation, trained to denoise at levels that an objective draws and weighs."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from experiments.harness import generate
from experiments.harness.system import System
from experiments.systems.network import Network, conditioning, in_training
from jaxdiff import precond
from jaxdiff.losses import denoising_loss, edm_weight
from jaxdiff.precond import Preconditioning
from jaxdiff.timesteps import lognormal_sigma
from jaxdiff.types import Array, Batch, Denoiser, Key, Params

Augment = Callable[[Key, Batch], tuple[Batch, dict[str, Any]]]
"""(key, x0) -> (x0, what the network is given of it)."""


class Objective(NamedTuple):
    """sigma(key, shape) -> noise levels; weight(sigma) -> weight of each in the loss."""

    sigma: Callable[[Key, tuple[int, ...]], Array]
    weight: Callable[[Array], Array]


def lognormal(p_mean: float = -1.2, p_std: float = 1.2, sigma_data: float = 0.5) -> Objective:
    """Return EDM's objective: log(sigma) ~ N(p_mean, p_std^2), weight 1 / c_out^2 (Karras et al. 2022, Table 1)."""
    return Objective(
        lambda key, shape: lognormal_sigma(jax.random.normal(key, shape), p_mean, p_std),
        partial(edm_weight, sigma_data=sigma_data),
    )


def assemble(
    net: Network, parametrisation: Preconditioning, objective: Objective, augment: Augment | None = None
) -> System:
    """Build the system of a network.

    Args:
      net, parametrisation: make the denoiser.
      objective: of training; augment: of its images, with a key of its own where it is given.
    """

    def denoiser(params: Params, labels: Array | None) -> Denoiser:
        return precond.denoiser(net.apply, params, parametrisation, **conditioning(net, labels))

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        *key_augment, key_sigma, key_noise, key_dropout = jax.random.split(key, 3 if augment is None else 4)
        x0, cond = (batch["image"], {}) if augment is None else augment(key_augment[0], batch["image"])
        sigma, noise = objective.sigma(key_sigma, x0.shape[:1]), jax.random.normal(key_noise, x0.shape)
        cond = {**cond, **in_training(net, batch["label"], key_dropout)}
        denoise = precond.denoiser(net.apply, params, parametrisation, **cond)
        return denoising_loss(denoise, x0, sigma, noise, objective.weight)

    sampling = partial(generate.edm_sampling, parametrisation)
    return System(net.init, loss, denoiser, parametrisation, sampling, net.shape, net.num_classes)
