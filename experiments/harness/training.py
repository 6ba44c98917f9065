"""How experiments train: the flags that all share, and what they make of a system: a schedule, a trainer, a state."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import jax
import optax
import tyro
from tqdm import tqdm

from experiments.harness import allowed, datasets, devices, init_from, monitoring, workdir
from experiments.harness.help_groups import REST, Groups
from experiments.harness.init_from import Start
from experiments.harness.system import System, Trainer
from jaxdiff import keys
from jaxdiff.data import pipeline, pixels
from jaxdiff.train import ema, fully_sharded, hosts, learning_rates, sharding
from jaxdiff.train.loop import TrainSchedule, fit
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step
from jaxdiff.types import Array


@dataclass(frozen=True)
class Training(monitoring.Monitoring, devices.Devices):
    """Flags of every experiment."""

    in_help: ClassVar[Groups] = {
        "training": (
            "recipe", "row", "method", "teacher", "workdir", "steps", "batch_size", "seed", "smoke",
            "init_from", "override",
        ),
        "data": ("data", "held_out", "resolution", "channels", "classes", "num_points"),
        "network": (
            "model_channels", "channel_mult", "num_blocks", "attn_resolutions", "dropout", "label_dropout", "deep",
            "width", "depth", "latent_dim", "direct", "discriminator_mult",
        ),
        REST: (),
        "optimiser": (
            "learning_rate", "discriminator_rate", "warmup", "cooldown", "clip_norm", "ema_halflife", "ema_rampup",
            "decay", "accumulate",
        ),
        "sampling": ("num_samples", "num_steps", "snr", "ddim_eta"),
        "watching": (
            "log_every", "grid_every", "tensorboard", "wandb", "profile", "checkpoint_every", "keep_last", "keep_every",
        ),
        "devices": (
            "dtype", "remat", "fsdp", "steps_per_dispatch", "distributed", "coordinator_address", "num_processes",
            "process_id",
        ),
    }  # fmt: skip
    workdir: Path = Path("runs/unnamed")
    """Folder of the run."""
    data: Annotated[str, tyro.conf.arg(help=f"{datasets.CHOICES} of one size. Digits need no download.")] = "digits"
    held_out: float = 0.0
    """Share of a folder's or zip's images that is not trained on, but what others are compared with; data sets with a
    name and folders with train and val or test have such images."""
    init_from: Path | None = None
    """Start at the averaged parameters of a run, or those of an exported or published file; what does not fit is
    new, and said."""
    override: tuple[str, ...] = ()
    """Names of flags, such as learning-rate, that differ from those of the run in workdir: they hold from here on."""
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
    """Return the config, or where that is asked for its smoke run's, saying which flags that overrides."""
    if not config.smoke:
        return config
    small = smoke(config)
    changed = [f.name for f in fields(small) if getattr(small, f.name) != getattr(config, f.name)]
    if hosts.is_primary():
        said = ", ".join(f"{name} {getattr(small, name)} (was {getattr(config, name)})" for name in changed)
        tqdm.write(f"--smoke overrides {said}")
    return small


def check(config: Training) -> TrainSchedule:
    """Check everything that can be wrong with the flags, before anything is written."""
    allowed.check(config)
    sharding.check_batch(config.batch_size, sharding.data_mesh(config.fsdp), config.accumulate)
    average(config)
    dispatch = config.steps_per_dispatch or (1 if jax.default_backend() == "cpu" else 25)
    monitoring.monitors(config, config.workdir)
    saving = (config.checkpoint_every, config.keep_last, config.keep_every)
    return TrainSchedule(config.steps, dispatch, config.log_every, *saving, config.grid_every, config.profile)


def optimizer(config: Training) -> optax.GradientTransformation:
    """Make Adam with warm-up and cool-down, after clipping where that is asked for."""
    rate = learning_rates.warmup(config.learning_rate, config.batch_size, config.warmup)
    if config.cooldown:
        rate = learning_rates.cooldown(rate, config.steps, config.cooldown)
    adam = optax.adam(rate)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam) if config.clip_norm else adam


def average(config: Training) -> Callable[[Array], Array]:
    """Decay of the parameters' average as a function of the step."""
    return ema.decay(config.batch_size, config.ema_halflife, config.ema_rampup or None)


def train(
    config: Training, system: System, source: pipeline.Source, schedule: TrainSchedule, begun: Start | None = None
) -> Any:
    """Train from the newest checkpoint, or from the start, to the last step; begun: what is put into that start."""
    key_init, key_train = jax.random.split(keys.from_seed(config.seed))
    how = trainer(config, system)
    state = how.begin(fully_sharded.init_sharded(sharding.data_mesh(config.fsdp), how.create, key_init))
    if begun is not None:
        state = init_from.begin(how, state, begun)
        init_from.say(config.workdir, begun)
    # A checkpoint takes its place, where there is one.
    batches = datasets.of(config.data, system).batches(source, config.batch_size, config.seed)
    # Bytes become floats on the devices; digits are floats already.
    step = lambda state, key, batch: how.step(state, key, pixels.normalise(batch))  # noqa: E731
    preview = (
        monitoring.grid(system, config.num_steps, config.workdir / "grids", config.fsdp) if config.grid_every else None
    )
    monitors = monitoring.monitors(config, config.workdir)
    of_config = workdir.to_json(config)
    return fit(
        step, state, batches, key_train, schedule, config.workdir, of_config,
        fsdp=config.fsdp, monitors=monitors, preview=preview,
    )  # fmt: skip


def trainer(config: Training, system: System) -> Trainer:
    """Return the system's own trainer, or Adam on its loss."""
    if system.trainer is not None:
        return system.trainer
    assert system.loss is not None
    adam = optimizer(config)
    return Trainer(
        lambda key: create(system.init(key), adam), train_step(system.loss, adam, average(config), config.accumulate)
    )
