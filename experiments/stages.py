"""Train, draw, evaluate: what `python -m experiments.NAME` does with the system that NAME describes."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import optax
from tqdm import tqdm

from experiments import allowed, claim, cli, devices, draw, judged, sources, watching, workdir
from experiments.picture import image_grid, save_png
from experiments.system import Learning, Sampling, System
from jaxdiff import keys
from jaxdiff.data import pipeline, pixels
from jaxdiff.train import ema, hosts, sharding
from jaxdiff.train.checkpoint import Checkpoints
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
    """digits, cifar10, or a folder or zip of images of one size. Digits, 8x8, need no download."""
    held_out: float = 0.0
    """Share of a folder's or zip's images that is not trained on, but what others are judged beside; digits, cifar10
    and folders with train and val or test have such images."""
    override: bool = False
    """Go on with the run in workdir though flags that define it differ: they hold from here on."""
    smoke: bool = False
    """Do everything with a tiny network, in seconds on digits and about a minute on images, to see that it runs."""
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
    """Images to draw for samples.npz and the metrics; image i has seed i and class i mod the number of classes."""
    num_steps: int = 18
    """Sampling steps."""


Config = TypeVar("Config", bound=Training)


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    return replace(config, steps=8, batch_size=16, checkpoint_every=4, log_every=2, num_samples=40, num_steps=4)


def smoked(config: Config, smoke: Callable[[Config], Config]) -> Config:
    """The config, or where that is asked for its smoke run's, saying which flags that overrides."""
    if not config.smoke:
        return config
    small = smoke(config)
    changed = [f.name for f in fields(small) if getattr(small, f.name) != getattr(config, f.name)]
    if hosts.first():
        said = ", ".join(f"{name} {getattr(small, name)} (was {getattr(config, name)})" for name in changed)
        tqdm.write(f"--smoke overrides {said}")
    return small


def run(
    name: str, config: Config, build: Callable[[Config], System], smoke: Callable[[Config], Config] = smoke
) -> None:
    """Check, train, draw, evaluate; a finished run only shows its report."""
    started = time.monotonic()
    with contextlib.ExitStack() as held:
        with cli.bad_input():
            config = smoked(config, smoke)
            budget = check(config)
            system = build(config)
            system.sampling(config.num_steps)
            source = sources.training(config.data, system, config.held_out)
            devices.check_state(config, learning(config, system).create)
            told = name, config, sources.digest(source)
            changed = claim.check(config.workdir, *told)
            if changed and config.override:
                runs_on(config, system)
            report = finished(config)
            # Together, since the first process that goes on may write what the others have yet to look at.
            if not hosts.agree(bool(report) and not changed):
                held.enter_context(claim.claimed(config.workdir, *told))
        if report:
            show(report, config.workdir)
        else:
            work(name, config, system, source, budget, started)


def runs_on(config: Training, system: System) -> None:
    """Raise ValueError unless the state of the run's newest checkpoint is one of this system."""
    if (config.workdir / "checkpoints").is_dir():
        Checkpoints(config.workdir).check(jax.eval_shape(learning(config, system).create, keys.of_seed(0)))


def finished(config: Training) -> dict[str, Any]:
    """The report of a run that is as far as the flags say; {} where there is none."""
    if not all((config.workdir / name).exists() for name in ("samples.npz", "samples.png", "report.json")):
        return {}
    found = workdir.read_json(config.workdir / "report.json")
    asked = {"step": config.steps, "num_samples": config.num_samples, "num_steps": config.num_steps}
    return found if {name: found.get(name) for name in asked} == asked else {}


def work(name: str, config: Training, system: System, source: pipeline.Source, budget: Budget, started: float) -> None:
    """Train, draw, evaluate, in a folder that is this run's."""
    folder = config.workdir
    state = train(config, system, source, budget)
    params = sharding.whole(state.ema)
    if int(state.step) < config.steps or not hosts.first():
        return
    trained = time.monotonic()
    sampling = system.sampling(config.num_steps)
    with cli.bad_input():
        images, labels = sample(config, system, sampling, params, folder)
    sampled = time.monotonic()
    try:
        metrics = judged.judge(config, system, source)(images, labels)
    except (ValueError, OSError) as error:  # of images that were held out, at which nobody has looked before
        tqdm.write(f"no metrics: {error}; experiments.evaluate computes them once that is mended")
        metrics = {}
    report = {
        "experiment": name,
        "step": config.steps,
        "data": sources.about(source),
        "num_samples": config.num_samples,
        "sampler": sampling.name,
        "num_steps": config.num_steps,
        "nfe": sampling.nfe,
        "metrics": metrics,
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
    allowed.check(config)
    sharding.check_batch(config.batch_size, sharding.data_mesh(config.fsdp), config.accumulate)
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
    key_init, key_train = jax.random.split(keys.of_seed(config.seed))
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
    save_png(folder / "samples.png", image_grid(images[:100], columns=10, scale=max(1, 48 // images.shape[2])))
    return images, labels


def show(report: dict[str, Any], folder: Path) -> None:
    """The numbers of a report as a person reads them."""
    judged.show(report["metrics"])
    tqdm.write(f"{report['nfe']} evaluations an image, {report['seconds']['total']} s in all; see {folder}/samples.png")
