"""The objective of each way to train a consistency model: its loss, and how its levels depend on the step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff import losses, timesteps
from jaxdiff.losses.consistency import ConsistencyFn, scm
from jaxdiff.losses.distances import Distance
from jaxdiff.precond import TrigFlowNetwork, trigflow_time
from jaxdiff.timesteps.levels import lognormal_sigma
from jaxdiff.train.consistency import ConsistencyLoss
from jaxdiff.types import Array, Denoiser, Key, Params

Examples = dict[str, Array]
"""A batch: image [B, H, W, C], label [B]."""


class Trainable(NamedTuple):
    """What is trained: the network, and the coefficients of the loss's weight; () where it has none."""

    network: Params
    weighting: Params = ()


class Networks(NamedTuple):
    """The networks of a method, conditioned on a batch's labels.

    f(params, batch, key) -> f(x, sigma), with dropout from the key; denoise(params, batch) -> the teacher's D(x, sigma)
    trigflow(params, batch, key) -> F(x_t / sigma_data, t); teacher_flow(params, batch) -> the teacher's
    """

    f: Callable[[Params, Examples, Key], ConsistencyFn]
    denoise: Callable[[Params, Examples], Denoiser]
    trigflow: Callable[[Params, Examples, Key], TrigFlowNetwork]
    teacher_flow: Callable[[Params, Examples], TrigFlowNetwork]


class Objective(NamedTuple):
    """What a method minimises.

    loss: of `train.consistency`; target_decay: of the target's average as a function of the step, None where the
    network is its own target; teacher: whether the loss asks it; weighting: shape of the coefficients of its weight.
    """

    loss: ConsistencyLoss
    target_decay: Callable[[Array], Array] | None = None
    teacher: bool = False
    weighting: tuple[int, ...] = ()


def draws(key: Key, batch: Examples, draw: Any) -> tuple[Array, Array, Array, Key]:
    """Return (x0, one number an example, noise, a key for dropout)."""
    key_level, key_noise, key_dropout = jax.random.split(key, 3)
    x0 = batch["image"]
    return x0, draw(key_level, x0.shape[:1]), jax.random.normal(key_noise, x0.shape), key_dropout


def distillation(
    nets: Networks, distance: Distance, weight: Callable[[Array], Array], num_scales: int, decay: float
) -> Objective:
    """Return CD: Song et al. 2023, Alg. 2, with Heun's step of the teacher."""

    def loss(params: Trainable, target: Trainable, teacher: Params, step: Array, key: Key, batch: Examples) -> Array:
        x0, uniform, noise, key_dropout = draws(key, batch, jax.random.uniform)
        sigma, sigma_next = timesteps.pairs.uniform_levels(uniform, num_scales)
        f, f_target = (nets.f(p.network, batch, key_dropout) for p in (params, target or params))
        denoise = nets.denoise(teacher, batch)
        return losses.consistency.distillation_loss(
            f, f_target, denoise, x0, sigma, sigma_next, noise, distance=distance, weight=weight(sigma)
        )

    target_decay = (lambda step: jnp.asarray(decay)) if decay else None
    return Objective(loss, target_decay, teacher=True)


def training(
    nets: Networks,
    distance: Distance,
    weight: Callable[[Array], Array],
    steps: int,
    start: int,
    end: int,
    start_decay: float,
) -> Objective:
    """Return CT: Song et al. 2023, Alg. 3, with N(k) and mu(k) of its Appendix C."""
    scales = timesteps.curricula.progressive_scales(steps, start, end)

    def loss(params: Trainable, target: Trainable, teacher: Params, step: Array, key: Key, batch: Examples) -> Array:
        x0, uniform, noise, key_dropout = draws(key, batch, jax.random.uniform)
        sigma, sigma_next = timesteps.pairs.uniform_levels(uniform, scales(step))
        f, f_target = (nets.f(p.network, batch, key_dropout) for p in (params, target or params))
        return losses.consistency.training_loss(
            f, f_target, x0, sigma, sigma_next, noise, distance=distance, weight=weight(sigma)
        )

    return Objective(
        loss, (lambda step: timesteps.curricula.target_decay(scales(step), start_decay, start)) if start_decay else None
    )


def improved(nets: Networks, steps: int, start: int, end: int) -> Objective:
    """Return iCT: Song & Dhariwal 2024."""
    scales = timesteps.curricula.doubling_scales(steps, start, end)

    def loss(params: Trainable, target: Trainable, teacher: Params, step: Array, key: Key, batch: Examples) -> Array:
        x0, uniform, noise, key_dropout = draws(key, batch, jax.random.uniform)
        sigma, sigma_next = timesteps.pairs.lognormal_levels(uniform, scales(step))
        return losses.consistency.improved_training_loss(
            nets.f(params.network, batch, key_dropout), x0, sigma, sigma_next, noise
        )

    return Objective(loss)


def easy(nets: Networks, steps: int, stages: int, p_mean: float, p_std: float) -> Objective:
    """Return ECT: Geng et al. 2025, from the teacher's parameters."""
    stage = timesteps.curricula.ect_stages(-(-steps // stages))

    def loss(params: Trainable, target: Trainable, teacher: Params, step: Array, key: Key, batch: Examples) -> Array:
        x0, normal, noise, key_dropout = draws(key, batch, jax.random.normal)
        sigma = lognormal_sigma(normal, p_mean, p_std)
        sigma_next = timesteps.pairs.ect_sigma_next(sigma, stage(step))
        return losses.consistency.improved_training_loss(
            nets.f(params.network, batch, key_dropout), x0, sigma, sigma_next, noise
        )

    return Objective(loss)


def continuous(
    nets: Networks, steps: int, p_mean: float, p_std: float, sigma_data: float, distilled: bool, coefficients: int = 8
) -> Objective:
    """Return sCD or sCT: Lu & Song 2025, Alg. 1; the tangent's derivative comes in over a quarter of the steps."""
    warmup_steps = max(steps // 4, 1)

    def loss(params: Trainable, target: Trainable, teacher: Params, step: Array, key: Key, batch: Examples) -> Array:
        x0, normal, noise, key_dropout = draws(key, batch, jax.random.normal)
        t = trigflow_time(lognormal_sigma(normal, p_mean, p_std), sigma_data)
        options: dict[str, Any] = {
            "sigma_data": sigma_data,
            "warmup": timesteps.curricula.tangent_warmup(step, warmup_steps),
            "log_weight": scm.adaptive_log_weight(params.weighting, t),
        }
        network = nets.trigflow(params.network, batch, key_dropout)
        if distilled:
            return scm.scd_loss(network, nets.teacher_flow(teacher, batch), x0, t, noise, **options)
        return scm.sct_loss(network, x0, t, noise, **options)

    return Objective(loss, teacher=distilled, weighting=(coefficients,))
