"""The choices of a consistency model, a table each: methods, distances, weights of levels.

To add a choice, add a row: the flags of `consistency.Consistency` and what they refuse follow from it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from experiments.systems import consistency_methods
from experiments.systems.consistency_methods import Networks, Objective
from jaxdiff.interop.lpips import load_lpips
from jaxdiff.losses import denoising, distances
from jaxdiff.losses.distances import Distance
from jaxdiff.metrics.lpips import lpips
from jaxdiff.nets.features.vgg import VGG16
from jaxdiff.types import Array, Batch


def lpips_distance(config: Any) -> Distance:
    """Return LPIPS with mean pooling, as in the authors' code; grey images are given as three equal channels.

    Raises: ValueError when a file of weights is not given or not what it should be.
    """
    net = VGG16(pool=nn.avg_pool)
    params = load_lpips(config.vgg, config.lpips, net)

    def distance(x: Batch, y: Batch) -> Array:
        x, y = (jnp.broadcast_to(image, (*image.shape[:-1], 3)) for image in (x, y))
        return lpips(params, x, y, net=net, side=config.lpips_side)

    return distance


DISTANCES: dict[str, Callable[[Any], Distance]] = {
    "l1": lambda config: distances.l1,
    "l2": lambda config: distances.l2,
    "pseudo_huber": lambda config: distances.pseudo_huber,
    "lpips": lpips_distance,
}

WEIGHTS: dict[str, Callable[[Array], Array]] = {
    "uniform": jnp.ones_like,
    "snr": denoising.inverse_variance,
    "snr_plus_one": denoising.snr_plus_one,
    "karras": denoising.edm_weight,
    "truncated_snr": denoising.truncated_snr,
}


class Method(NamedTuple):
    """objective(config, networks) -> what is minimised; from_teacher: whether training starts at a teacher.

    ends_at_zero: whether f is the identity at sigma = 0, in EDM's parametrisation, instead of at sigma_min
    p_mean, p_std: the paper's mean and standard deviation of log(sigma), where levels are drawn so
    """

    objective: Callable[[Any, Networks], Objective]
    from_teacher: bool = False
    ends_at_zero: bool = False
    p_mean: float = 0.0
    p_std: float = 1.0


def _distillation(config: Any, nets: Networks) -> Objective:
    distance, weight = DISTANCES[config.distance](config), WEIGHTS[config.weighting]
    return consistency_methods.distillation(nets, distance, weight, config.scales or 18, config.target_decay)


def _training(config: Any, nets: Networks) -> Objective:
    distance, weight = DISTANCES[config.distance](config), WEIGHTS[config.weighting]
    scales = config.first_scales or 2, config.scales or 150
    return consistency_methods.training(nets, distance, weight, config.steps, *scales, config.target_decay)


def _improved(config: Any, nets: Networks) -> Objective:
    return consistency_methods.improved(nets, config.steps, config.first_scales or 10, config.scales or 1280)


def _easy(config: Any, nets: Networks) -> Objective:
    return consistency_methods.easy(nets, config.steps, config.stages, *levels(config))


def _continuous(distilled: bool) -> Callable[[Any, Networks], Objective]:
    return lambda config, nets: consistency_methods.continuous(
        nets, config.steps, *levels(config), config.sigma_data, distilled
    )


def levels(config: Any) -> tuple[float, float]:
    """Return (mean, standard deviation) of log(sigma): the flags', or the paper's where none are given."""
    method = METHODS[config.method]
    given = (config.p_mean, method.p_mean), (config.p_std, method.p_std)
    p_mean, p_std = (paper if flag is None else flag for flag, paper in given)
    return p_mean, p_std


METHODS = {
    "cd": Method(_distillation, from_teacher=True),  # Song et al. 2023
    "ct": Method(_training),  # the same
    "ict": Method(_improved),  # Song & Dhariwal 2024
    "ect": Method(_easy, from_teacher=True, ends_at_zero=True, p_mean=-1.1, p_std=2.0),  # Geng et al. 2025, App. A
    # Lu & Song 2025, Appendix G, for distillation as for training.
    "scd": Method(_continuous(distilled=True), from_teacher=True, ends_at_zero=True, p_mean=-1.0, p_std=1.4),
    "sct": Method(_continuous(distilled=False), ends_at_zero=True, p_mean=-1.0, p_std=1.4),
}
