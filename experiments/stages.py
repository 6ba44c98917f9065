"""Train, draw, evaluate: what `python -m experiments.NAME` does with the system that NAME describes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import numpy as np
import optax
from tqdm import tqdm

from experiments import cli, draw, workdir
from experiments.picture import image_grid, save_png
from experiments.system import Sampling, System
from jaxdiff.data import cifar10, digits, pipeline
from jaxdiff.metrics import digits as digit_metrics
from jaxdiff.train import ema, sharding
from jaxdiff.train.loop import Budget, fit
from jaxdiff.train.state import TrainState, create
from jaxdiff.train.step import train_step
from jaxdiff.types import Array, Params


@dataclass(frozen=True)
class Training:
    """What every experiment on digits can be told."""

    workdir: Path = Path("runs/unnamed")
    """Folder of the run."""
    data: Literal["digits", "cifar10"] = "digits"
    """Data set; digits are scikit-learn's 8x8 handwritten digits, which need no download."""
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
    num_samples: int = 1_000
    """Images to draw for samples.npz and the metrics; image i has seed i and class i mod 10."""
    num_steps: int = 18
    """Sampling steps."""


Config = TypeVar("Config", bound=Training)


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(config, steps=8, batch_size=16, checkpoint_every=4, log_every=2, num_samples=40, num_steps=4)


def run(name: str, config: Config, build: Callable[[Config], System]) -> None:
    """Check, train, draw, evaluate; each stage is skipped when its result is there."""
    started = time.monotonic()
    with cli.bad_input():
        budget = check(config)
        system = build(config)
        system.sampling(config.num_steps)
        source = training_data(config, system)
        jax.eval_shape(system.init, jax.random.key(0))
        folder = workdir.claim(config.workdir, name, config)
    state = train(config, system, source, budget)
    if int(state.step) < config.steps:
        return
    trained = time.monotonic()
    sampling = system.sampling(config.num_steps)
    images, labels = sample(config, system, sampling, state.ema, folder)
    sampled = time.monotonic()
    report = {
        "experiment": name,
        "step": config.steps,
        "num_samples": config.num_samples,
        "sampler": sampling.name,
        "num_steps": config.num_steps,
        "nfe": sampling.nfe,
        "metrics": evaluate(images, labels) if config.data == "digits" else {},
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "seconds": {
            "training": round(trained - started, 1),
            "sampling": round(sampled - trained, 1),
            "total": round(time.monotonic() - started, 1),
        },
        **workdir.environment(),
    }
    workdir.write_json(folder / "report.json", report)
    show(report, folder)


def check(config: Training) -> Budget:
    """Everything that can be wrong with the flags, before anything is written."""
    sharding.check_batch(config.batch_size, sharding.data_mesh())
    for name in ("num_samples", "num_steps"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.num_samples < 4 or not config.learning_rate > 0:
        raise ValueError(
            f"need num_samples >= 4 and learning_rate > 0, got {config.num_samples}, {config.learning_rate}"
        )
    average(config)
    dispatch = config.steps_per_dispatch or (1 if jax.default_backend() == "cpu" else 25)
    return Budget(config.steps, dispatch, config.log_every, config.checkpoint_every, config.keep_last)


def optimizer(config: Training) -> optax.GradientTransformation:
    """Adam with warm-up, after clipping where that is asked for."""
    adam = optax.adam(ema.warmup(config.learning_rate, config.batch_size, config.warmup))
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam) if config.clip_norm else adam


def average(config: Training) -> Callable[[Array], Array]:
    """Decay of the parameters' average as a function of the step."""
    return ema.decay(config.batch_size, config.ema_halflife, config.ema_rampup or None)


def training_data(config: Training, system: System) -> pipeline.Source:
    """Examples {"image", "label"} of the data set that the flags name.

    Raises: ValueError when it is not there, or its images are not those that the system is made for.
    """
    if config.data == "digits":
        data = digits.load("train")
        source: pipeline.Source = pipeline.ArraySource(image=data.images, label=data.labels.astype(np.int32))
    else:
        source = cifar10.load("train")
    if source[0]["image"].shape != system.shape:
        raise ValueError(f"--data {config.data} has images {source[0]['image'].shape}, the network {system.shape}")
    return source


def train(config: Training, system: System, source: pipeline.Source, budget: Budget) -> TrainState:
    """From the newest checkpoint, or from the start, to the last step."""
    key_init, key_train = jax.random.split(jax.random.key(config.seed))
    adam = optimizer(config)
    state = create(jax.jit(system.init)(key_init), adam)
    step = train_step(system.loss, adam, average(config))
    batches = pipeline.batches(source, config.batch_size, config.seed)
    return fit(step, state, batches, key_train, budget, config.workdir, workdir.to_json(config))


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
