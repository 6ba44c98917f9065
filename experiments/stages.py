"""Train, draw, evaluate: what `python -m experiments.NAME` does with the system that NAME describes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import optax
from tqdm import tqdm

from experiments import cli, devices, draw, sources, watching, workdir
from experiments.picture import image_grid, save_png
from experiments.system import Learning, Sampling, System
from jaxdiff.data import digits, pipeline, pixels
from jaxdiff.metrics import digits as digit_metrics
from jaxdiff.train import ema, hosts, sharding
from jaxdiff.train.loop import Budget, fit
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step
from jaxdiff.types import Array, Params


@dataclass(frozen=True)
class Training(watching.Watching, devices.Devices):
    """What every experiment on digits can be told."""

    workdir: Path = Path("runs/unnamed")
    """Folder of the run."""
    data: str = "digits"
    """digits, cifar10, or a folder or zip of images from experiments.dataset. Digits, 8x8, need no download."""
    smoke: bool = False
    """Do everything in seconds with a tiny network, to see that it runs."""
    seed: int = 0
    """Of the parameters, the data order, noise levels, noise and dropout."""
    steps: int = 600
    """Training steps."""
    batch_size: int = 128
    """Images a step, over all devices."""
    learning_rate: float = 2e-3
    """Of Adam, after warm-up."""
    warmup: int = 5_000
    """Images over which the learning rate rises from 0."""
    cooldown: float = 0.0
    """Share of the steps, at the end, over which the learning rate falls to 0."""
    clip_norm: float = 0.0
    """Largest gradient norm; 0 does not clip."""
    ema_halflife: int = 10_000
    """Half-life of the parameters' average, in images."""
    ema_rampup: float = 0.05
    """The half-life is at most this share of the images seen so far; 0 for no such limit."""
    steps_per_dispatch: int = 0
    """Steps in one compiled call; 0 chooses 1 on CPUs and 25 elsewhere."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    keep_last: int = 3
    """Checkpoints that are kept."""
    keep_every: int = 0
    """Of every so many steps one checkpoint more is kept for good; 0 for none."""
    num_samples: int = 1_000
    """Images to draw for samples.npz and the metrics; image i has seed i and class i mod 10."""
    num_steps: int = 18
    """Sampling steps."""


Config = TypeVar("Config", bound=Training)


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(config, steps=8, batch_size=16, checkpoint_every=4, log_every=2, num_samples=40, num_steps=4)


def run(name: str, config: Config, build: Callable[[Config], System]) -> None:
    """Check, train, draw, evaluate; a finished run only shows its report."""
    started = time.monotonic()
    with cli.bad_input():
        budget = check(config)
        system = build(config)
        system.sampling(config.num_steps)
        source = sources.training(config.data, system)
        devices.check_state(config, learning(config, system).create)
        folder = hosts.in_turn(lambda: workdir.claim(config.workdir, name, config))
    path = folder / "report.json"
    made = all((folder / name).exists() for name in ("samples.npz", "samples.png", path.name))
    if made and (report := workdir.read_json(path)).get("step") == config.steps:
        show(report, folder)
        return
    state = train(config, system, source, budget)
    params = sharding.whole(state.ema)
    if int(state.step) < config.steps or not hosts.first():
        return
    trained = time.monotonic()
    sampling = system.sampling(config.num_steps)
    images, labels = sample(config, system, sampling, params, folder)
    sampled = time.monotonic()
    report = {
        "experiment": name,
        "step": config.steps,
        "num_samples": config.num_samples,
        "sampler": sampling.name,
        "num_steps": config.num_steps,
        "nfe": sampling.nfe,
        "metrics": judge(system)(images, labels) if system.data or config.data == "digits" else {},
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "seconds": {
            "training": round(trained - started, 1),
            "sampling": round(sampled - trained, 1),
            "total": round(time.monotonic() - started, 1),
        },
        **workdir.environment(),
    }
    workdir.write_json(path, report)
    show(report, folder)


def check(config: Training) -> Budget:
    """Everything that can be wrong with the flags, before anything is written."""
    sharding.check_batch(config.batch_size, sharding.data_mesh(config.fsdp), config.accumulate)
    for name in ("num_samples", "num_steps"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.num_samples < 4 or not config.learning_rate > 0:
        raise ValueError(
            f"need num_samples >= 4 and learning_rate > 0, got {config.num_samples}, {config.learning_rate}"
        )
    average(config)
    dispatch = config.steps_per_dispatch or (1 if jax.default_backend() == "cpu" else 25)
    watching.monitors(config, config.workdir)
    saving = (config.checkpoint_every, config.keep_last, config.keep_every)
    return Budget(config.steps, dispatch, config.log_every, *saving, config.grid_every, config.profile)


def optimizer(config: Training) -> optax.GradientTransformation:
    """Adam with warm-up and cool-down, after clipping where that is asked for."""
    rate = ema.warmup(config.learning_rate, config.batch_size, config.warmup)
    if config.cooldown:
        rate = ema.cooldown(rate, config.steps, config.cooldown)
    adam = optax.adam(rate)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam) if config.clip_norm else adam


def average(config: Training) -> Callable[[Array], Array]:
    """Decay of the parameters' average as a function of the step."""
    return ema.decay(config.batch_size, config.ema_halflife, config.ema_rampup or None)


def train(config: Training, system: System, source: pipeline.Source, budget: Budget) -> Any:
    """From the newest checkpoint, or from the start, to the last step."""
    key_init, key_train = jax.random.split(jax.random.key(config.seed))
    how = learning(config, system)
    state = how.begin(sharding.made(sharding.data_mesh(config.fsdp), how.create, key_init))
    # A checkpoint takes its place, where there is one.
    batches = pipeline.batches(source, config.batch_size, config.seed)
    # Bytes become floats on the devices; digits are floats already.
    step = lambda state, key, batch: how.step(state, key, pixels.normalise(batch))  # noqa: E731
    look = watching.grid(system, config.num_steps, config.workdir / "grids", config.fsdp) if config.grid_every else None
    monitors = watching.monitors(config, config.workdir)
    of_config = workdir.to_json(config)
    return fit(
        step, state, batches, key_train, budget, config.workdir, of_config,
        fsdp=config.fsdp, monitors=monitors, look=look,
    )  # fmt: skip


def learning(config: Training, system: System) -> Learning:
    """The system's own, or Adam on its loss."""
    if system.learning is not None:
        return system.learning
    assert system.loss is not None
    adam = optimizer(config)
    return Learning(
        lambda key: create(system.init(key), adam), train_step(system.loss, adam, average(config), config.accumulate)
    )


def sample(
    config: Training, system: System, sampling: Sampling, params: Params, folder: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    """samples.npz and samples.png, with the system's own sampler."""
    seeds = np.arange(config.num_samples)
    labels = draw.balanced_labels(seeds, system.num_classes)
    request = draw.Request(sampling.sampler, sampling.sigmas, seeds, labels)
    draw.write(folder / "samples.npz", system, params, request)
    images, labels = draw.read(folder / "samples.npz")
    save_png(folder / "samples.png", image_grid(images[:100], columns=10, scale=6))
    return images, labels


def judge(system: System) -> Callable[[np.ndarray, np.ndarray | None], dict[str, float]]:
    """(images, labels) -> metrics: the system's own data's, or those of digits."""
    return evaluate if system.data is None else system.data.evaluate


def evaluate(images: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
    """Metrics of digits, and of real held-out digits beside them."""
    train, heldout = digits.load("train"), digits.load("heldout")
    halves = [(digits.to_pixels(half.images), half.labels) for half in (train, heldout)]
    return digit_metrics.report(digits.to_pixels(images), labels, *halves)


def show(report: dict[str, Any], folder: Path) -> None:
    """The numbers of a report as a person reads them."""
    show_metrics(report["metrics"])
    tqdm.write(f"{report['nfe']} evaluations an image, {report['seconds']['total']} s in all; see {folder}/samples.png")


def show_metrics(metrics: dict[str, float]) -> None:
    """A line a metric, beside the floor of real held-out digits."""
    tqdm.write(f"\n{'metric':<26}{'samples':>10}{'held-out':>10}")
    for name, value in metrics.items():
        if not name.startswith("heldout_"):
            floor = metrics.get(f"heldout_{name}")
            tqdm.write(f"{name:<26}{value:>10.4f}" + (f"{floor:>10.4f}" if floor is not None else ""))
