"""A consistency model as a System: which method, from which teacher, and how it is sampled."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments import allowed, cli, devices, runs, stages
from experiments import consistency_methods as methods
from experiments.consistency_methods import Batch as Examples
from experiments.consistency_methods import Method, Networks, Trained
from experiments.system import Learning, Sampling, System
from jaxdiff import boundary, grids, precond
from jaxdiff.interop.lpips import load_lpips
from jaxdiff.losses import denoising, distances
from jaxdiff.losses.distances import Distance
from jaxdiff.metrics.lpips import lpips
from jaxdiff.nets.vgg import VGG16
from jaxdiff.precond import denoiser
from jaxdiff.samplers import consistency, time_points
from jaxdiff.train.consistency import ConsistencyState, consistency_step
from jaxdiff.train.state import create
from jaxdiff.types import Array, Batch, Denoiser, Key, Params

WEIGHTS: dict[str, Callable[[Array], Array]] = {
    "uniform": jnp.ones_like,
    "snr": denoising.inverse_variance,
    "snr_plus_one": denoising.snr_plus_one,
    "karras": denoising.edm_weight,
    "truncated_snr": denoising.truncated_snr,
}

FROM_TEACHER = ("cd", "ect", "scd")
"""Methods that need a teacher."""

# Geng et al. 2025, Appendix A; Lu & Song 2025, Appendix G, for distillation as for training.
LEVELS = {"ect": (-1.1, 2.0), "scd": (-1.0, 1.4), "sct": (-1.0, 1.4)}
"""Mean and standard deviation of log(sigma)."""


@dataclass(frozen=True)
class Consistency(stages.Training):
    """What can be chosen of a consistency model. A value of 0 stands for the method's own."""

    teacher: Path = Path("runs/unnamed")
    """What is distilled or tuned."""
    method: Literal["cd", "ct", "ict", "ect", "scd", "sct"] = "cd"
    """cd, scd: distilled from the teacher; ect: tuned from its parameters; ct, ict, sct: trained alone."""
    num_steps: int = 1
    """Sampling steps, each one evaluation."""
    second_sigma: float = 0.8
    """Level of the last of several sampling steps, near ECT's 0.82 on CIFAR-10; earlier ones are spread above it."""
    sigma_data: float = 0.5
    """Standard deviation of the data that the preconditioning assumes; the teacher's."""
    distance: Literal["l1", "l2", "pseudo_huber", "lpips"] = "l2"
    """cd, ct: between two outputs. lpips needs the two files of weights below."""
    vgg: Path | None = None
    """lpips: torchvision's vgg16-397923af.pth."""
    lpips: Path | None = None
    """lpips: vgg.pth, the linear weights of LPIPS 0.1."""
    lpips_side: int = 224
    """lpips: images are resized to so many pixels a side before, as the authors do."""
    weighting: Literal["uniform", "snr", "snr_plus_one", "karras", "truncated_snr"] = "uniform"
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


Taught = TypeVar("Taught", bound=Consistency)


def assemble(
    config: Consistency,
    net: Any,
    init: Callable[[Key], Params],
    shape: tuple[int, ...],
    classes: int,
    teacher: Callable[[], Params],
) -> System:
    """The system of a network.

    Args:
      net, init, shape, classes: as for `score_sde.assemble`.
      teacher: reads the parameters of a network of the same shape that was trained with `precond.edm`.
    """
    net = devices.computing(config, net)
    edm = precond.edm(config.sigma_data)
    ends_at_zero = config.method in ("ect", "scd", "sct")
    row = edm if ends_at_zero else boundary.consistency(config.sigma_data)

    def condition(labels: Array | None) -> dict[str, Any]:
        return {} if labels is None or not classes else {"class_labels": jax.nn.one_hot(labels, classes)}

    def in_training(batch: Examples, key: Key) -> dict[str, Any]:
        return {**condition(batch["label"]), "train": True, "rngs": {"dropout": key}}

    nets = Networks(
        f=lambda params, batch, key: denoiser(net.apply, params, row, **in_training(batch, key)),
        denoise=lambda params, batch: denoiser(net.apply, params, edm, **condition(batch["label"])),
        trigflow=lambda params, batch, key: boundary.trigflow_from_edm(
            net.apply, params, config.sigma_data, **in_training(batch, key)
        ),
        teacher_flow=lambda params, batch: boundary.trigflow_from_edm(
            net.apply, params, config.sigma_data, **condition(batch["label"])
        ),
    )
    method = method_of(config, nets)

    def f(params: Trained, labels: Array | None) -> Denoiser:
        return denoiser(net.apply, params.network, row, **condition(labels))

    def start(key: Key) -> ConsistencyState:
        params = Trained(init(key), jnp.zeros(method.weighting) if method.weighting else ())
        target = copied(params) if method.target_decay else ()
        beside = copied(params.network) if method.teacher else ()
        return ConsistencyState(*create(params, stages.optimizer(config)), target, beside)

    def begin(state: ConsistencyState) -> ConsistencyState:
        if not method.from_teacher:
            return state
        found = teacher()
        # A buffer of its own for each, as all are donated.
        taught = lambda trained: trained._replace(network=copied(found)) if trained else ()  # noqa: E731
        parts: dict[str, Any] = {name: taught(getattr(state, name)) for name in ("params", "ema", "target")}
        return state._replace(**parts, teacher=found if method.teacher else ())

    step = consistency_step(
        method.loss, stages.optimizer(config), stages.average(config), method.target_decay, config.accumulate
    )
    return System(
        init, None, f, row, partial(sampling, config, 0.0 if ends_at_zero else row.sigma_min), shape, classes,
        learning=Learning(start, step, begin),
    )  # fmt: skip


def with_teacher(config: Taught, train: Callable[[Path], None]) -> Taught:
    """The config with a teacher that is there: trained where it is needed and missing, beside its place in a smoke run.

    Args:
      train: trains a teacher in a folder.
    """
    if config.method not in FROM_TEACHER or config.teacher.is_file() or (config.teacher / "report.json").exists():
        return config
    with cli.bad_input():
        stages.check(config)
        check(config)
    if config.smoke:
        of_data = "" if config.data == "digits" else f"_{Path(config.data).stem}"
        config = replace(config, teacher=config.teacher.with_name(f"{config.teacher.name}_smoke{of_data}"))
    train(config.teacher)
    return config


def check_teacher(config: Any, is_edm: bool, sigma_data: float | None) -> None:
    """Raise ValueError unless the teacher is an EDM model for data of the same standard deviation."""
    if not is_edm:
        raise ValueError(f"teacher {config.teacher} must be a model with EDM's preconditioning, of the same images")
    if sigma_data != config.sigma_data:
        raise ValueError(f"sigma_data={config.sigma_data}, but that of teacher {config.teacher} is {sigma_data}")


def read_teacher(config: Any, system: System) -> Params:
    """The averaged parameters of a finished run.

    Raises: ValueError when it is not finished.
    """
    params, step = runs.averaged_params(config, system)
    if step < config.steps:
        raise ValueError(f"teacher {config.workdir} is at step {step} of {config.steps}: finish it first")
    return params


def copied(tree: Params) -> Params:
    """Equal arrays in buffers of their own."""
    return jax.tree.map(jnp.copy, tree)


def check(config: Consistency) -> None:
    """Raise ValueError for flags that no method takes."""
    allowed.check(config)
    sampling(config, 0.0, config.num_steps)


def method_of(config: Consistency, nets: Networks) -> Method:
    """The method that the flags name, with its own values where none were given."""
    check(config)
    distance = lpips_distance(config) if config.distance == "lpips" else getattr(distances, config.distance)
    weight = WEIGHTS[config.weighting]
    p_mean, p_std = LEVELS.get(config.method, (0.0, 1.0))
    p_mean = p_mean if config.p_mean is None else config.p_mean
    p_std = p_std if config.p_std is None else config.p_std
    return {
        "cd": lambda: methods.distillation(nets, distance, weight, config.scales or 18, config.target_decay),
        "ct": lambda: methods.training(
            nets, distance, weight, config.steps, config.first_scales or 2, config.scales or 150, config.target_decay
        ),
        "ict": lambda: methods.improved(nets, config.steps, config.first_scales or 10, config.scales or 1280),
        "ect": lambda: methods.easy(nets, config.steps, config.stages, p_mean, p_std),
        "scd": lambda: methods.continuous(nets, config.steps, p_mean, p_std, config.sigma_data, distilled=True),
        "sct": lambda: methods.continuous(nets, config.steps, p_mean, p_std, config.sigma_data, distilled=False),
    }[config.method]()


def lpips_distance(config: Consistency) -> Distance:
    """LPIPS with mean pooling, as in the authors' code; grey images are given as three equal channels.

    Raises: ValueError when a file of weights is not given or not what it should be.
    """
    net = VGG16(pool=nn.avg_pool)
    params = load_lpips(config.vgg, config.lpips, net)

    def distance(x: Batch, y: Batch) -> Array:
        x, y = (jnp.broadcast_to(image, (*image.shape[:-1], 3)) for image in (x, y))
        return lpips(params, x, y, net=net, side=config.lpips_side)

    return distance


def sampling(config: Consistency, sigma_min: float, num_steps: int) -> Sampling:
    """Song et al. 2023, Alg. 1: one evaluation a step."""
    points = grids.karras(num_steps, config.second_sigma)[1:-1]
    return Sampling("consistency", consistency(sigma_min), time_points(points.tolist(), sigma_min), nfe=num_steps)
