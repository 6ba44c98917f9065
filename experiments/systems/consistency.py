"""A consistency model as a System: which method, from which teacher, and how it is sampled."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp

from experiments.harness import allowed, cli, training
from experiments.harness.system import Sampling, System, Trainer, copied
from experiments.systems.consistency_choices import DISTANCES, METHODS, WEIGHTS
from experiments.systems.consistency_methods import Examples, Networks, Trainable
from experiments.systems.network import Network, conditioning, exportable, in_training
from jaxdiff import grids, precond
from jaxdiff.precond import denoiser
from jaxdiff.samplers import consistency, time_points
from jaxdiff.train.consistency import ConsistencyState, consistency_step
from jaxdiff.train.state import create
from jaxdiff.types import Array, Denoiser, Key, Params


@dataclass(frozen=True)
class Consistency(training.Training):
    """What can be chosen of a consistency model. A value of 0 stands for the method's own."""

    teacher: Path = Path("runs/unnamed")
    """What is distilled or tuned."""
    method: Annotated[str, cli.one_of(METHODS)] = "cd"
    """cd, scd: distilled from the teacher; ect: tuned from its parameters; ct, ict, sct: trained alone."""
    num_steps: int = 1
    """Sampling steps, each one evaluation."""
    second_sigma: float = 0.8
    """Level of the last of several sampling steps, near ECT's 0.82 on CIFAR-10; earlier ones are spread above it."""
    sigma_data: float = 0.5
    """Standard deviation of the data that the preconditioning assumes; the teacher's."""
    distance: Annotated[str, cli.one_of(DISTANCES)] = "l2"
    """cd, ct: between two outputs. lpips needs the two files of weights below."""
    vgg: Path | None = None
    """lpips: torchvision's vgg16-397923af.pth."""
    lpips: Path | None = None
    """lpips: vgg.pth, the linear weights of LPIPS 0.1."""
    lpips_side: int = 224
    """lpips: images are resized to so many pixels a side before, as the authors do."""
    weighting: Annotated[str, cli.one_of(WEIGHTS)] = "uniform"
    """cd, ct: of a level."""
    scales: int = 0
    """Levels: cd's number; ct's and ict's last."""
    first_scales: int = 0
    """ct, ict: levels at the start."""
    target_decay: float = 0.0
    """cd: decay of the target's average, 0 in the paper's CIFAR-10 run; ct: at the start, where the paper has 0.9. 0
    makes the target the network itself."""
    stages: int = 8
    """ect: stages in which the gap between levels closes."""
    p_mean: float | None = None
    """ect, scd, sct: mean of log(sigma) in training; without it, the paper's."""
    p_std: float | None = None
    """ect, scd, sct: standard deviation of log(sigma) in training; without it, the paper's."""


def assemble(config: Consistency, net: Network, teacher: Callable[[], Params]) -> System:
    """Build the system of a network.

    Args:
      config: what is chosen; net: the student's network.
      teacher: reads the parameters of a network of the same shape that was trained with `precond.edm`.
    Raises: ValueError for flags that no method takes.
    """
    check(config)
    method, edm = METHODS[config.method], precond.edm(config.sigma_data)
    parametrisation = edm if method.ends_at_zero else precond.consistency(config.sigma_data)

    def trigflow(params: Params, cond: dict[str, Any]) -> precond.TrigFlowNetwork:
        return precond.trigflow_from_edm(net.apply, params, config.sigma_data, **cond)

    def given(batch: Examples, key: Key) -> dict[str, Any]:
        return in_training(net, batch["label"], key)

    nets = Networks(
        f=lambda params, batch, key: denoiser(net.apply, params, parametrisation, **given(batch, key)),
        denoise=lambda params, batch: denoiser(net.apply, params, edm, **conditioning(net, batch["label"])),
        trigflow=lambda params, batch, key: trigflow(params, given(batch, key)),
        teacher_flow=lambda params, batch: trigflow(params, conditioning(net, batch["label"])),
    )
    objective = method.objective(config, nets)

    def f(params: Trainable, labels: Array | None) -> Denoiser:
        return denoiser(net.apply, params.network, parametrisation, **conditioning(net, labels))

    def start(key: Key) -> ConsistencyState:
        params = Trainable(net.init(key), jnp.zeros(objective.weighting) if objective.weighting else ())
        target = copied(params) if objective.target_decay else ()
        fixed = copied(params.network) if objective.teacher else ()
        return ConsistencyState(*create(params, training.optimizer(config)), target, fixed)

    def begin(state: ConsistencyState) -> ConsistencyState:
        if not method.from_teacher:
            return state
        found = teacher()
        # A buffer of its own for each, as all are donated and what was found may be in use elsewhere.
        return with_network(state, found)._replace(teacher=copied(found) if objective.teacher else ())

    step = consistency_step(
        objective.loss, training.optimizer(config), training.average(config), objective.target_decay,
        config.accumulate,
    )  # fmt: skip
    last = 0.0 if method.ends_at_zero else parametrisation.sigma_min
    named = {"name": "edm" if method.ends_at_zero else "consistency", "sigma_data": config.sigma_data}
    return System(
        net.init, None, f, parametrisation, partial(sampling, config, last), net.shape, net.num_classes,
        trainer=Trainer(start, step, begin, network_of, network_of, with_network),
        exportable=exportable(net, named, kind="consistency"),
    )  # fmt: skip


def network_of(trainable: Trainable) -> Params:
    """Return the parameters of the network alone."""
    return trainable.network


def with_network(state: ConsistencyState, params: Params) -> ConsistencyState:
    """Put a network's parameters, each time copied, into a new state; the teacher stays."""
    put = lambda trainable: trainable._replace(network=copied(params)) if trainable else ()  # noqa: E731
    return state._replace(params=put(state.params), ema=put(state.ema), target=put(state.target))


def check(config: Consistency) -> None:
    """Raise ValueError for flags that no method takes."""
    allowed.check(config)
    sampling(config, 0.0, config.num_steps)


def sampling(config: Consistency, sigma_min: float, num_steps: int) -> Sampling:
    """Return Song et al. 2023, Alg. 1: one evaluation a step."""
    points = grids.karras(num_steps, config.second_sigma)[1:-1]
    return Sampling("consistency", consistency(sigma_min), time_points(points.tolist(), sigma_min), nfe=num_steps)
