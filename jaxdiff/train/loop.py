"""The training loop: resume, progress, metrics, checkpoints, signals. It changes no number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from jaxdiff.train import fully_sharded, hosts, paths, sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.train.metrics_file import MetricsFile
from jaxdiff.train.monitor import MonitorFactory, Monitors
from jaxdiff.train.profile import Profile
from jaxdiff.train.progress import progress, show
from jaxdiff.train.state import TrainState
from jaxdiff.train.step import Step, scan_steps
from jaxdiff.types import Key, PyTree


class TrainingDiverged(RuntimeError):
    """A loss or gradient was not finite."""


class Batches(Protocol):
    """An endless iterator whose position can be saved, as Grain's are."""

    def __next__(self) -> PyTree: ...

    def get_state(self) -> Any:
        """Return the position, as what Orbax can save as JSON."""

    def set_state(self, state: Any) -> None:
        """Go to a position of `get_state`."""


@dataclass(frozen=True)
class TrainSchedule:
    """How long to train, and how often to log, save and preview.

    Attributes:
      num_steps: total, over all resumptions.
      steps_per_dispatch: steps in one compiled call; 1 is best on CPUs, see `step.scan_steps`.
      log_every, checkpoint_every: in steps; both happen between dispatches.
      keep_last: checkpoints to keep.
      keep_every: of every so many steps one checkpoint more is kept for good; 0 for none.
      grid_every: `fit` shows a preview at the first line of metrics after every so many steps; 0 for never.
      profile: steps to trace into profile/, see `profile.Profile`; 0 for none.
    """

    num_steps: int
    steps_per_dispatch: int = 1
    log_every: int = 50
    checkpoint_every: int = 500
    keep_last: int = 3
    keep_every: int = 0
    grid_every: int = 0
    profile: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name in ("keep_every", "grid_every", "profile") else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")


def fit(
    step: Step,
    state: TrainState,
    batches: Batches,
    key: Key,
    schedule: TrainSchedule,
    workdir: Path,
    config: dict[str, Any] | None = None,
    report: Callable[[str], None] = tqdm.write,
    fsdp: int = 1,
    monitors: Sequence[MonitorFactory] = (),
    preview: Callable[[int, Any], np.ndarray] | None = None,
) -> TrainState:
    """Train from the newest checkpoint in `workdir` (or from `state`) to `schedule.num_steps`.

    The calls of the compiled step depend on the step count only, so that a run that was killed and resumed ends
    bit-identical to an unbroken one. After SIGINT or one of `hosts.NOTICES`, such as SIGTERM, it saves and returns
    early: compare `state.step`. All processes of a distributed run call it alike; process 0 alone writes metrics, and
    all save.

    Args:
      step: a pure step, from `step.train_step`.
      state: what to start from; it is donated.
      batches: of examples {name: [B, ...]}, this process's part of each batch.
      key: all randomness is folded from it and the step.
      schedule: how long, and how often to log and to save.
      workdir: gets checkpoints/ and metrics.jsonl.
      config: JSON values, saved with every checkpoint.
      report: takes what a person should know, a line at a time.
      fsdp: devices over which the state is sharded, see `fully_sharded`; 1 replicates it.
      monitors: get the lines of metrics.jsonl and the images of `preview`, from process 0.
      preview: (step, state) -> an image of it, uint8 [H, W, C], as often as the schedule says; all processes call it.
        An OSError or FloatingPointError is reported, and training goes on.
    Returns: the last state.
    Raises: ValueError when fsdp does not fit devices or state, the schedule asks for previews and there is none, or no
      checkpoint could be read back from workdir; TrainingDiverged when a loss or gradient is not finite, naming the
      step and the last good checkpoint.
    Example:
      >>> import optax, tempfile
      >>> from jaxdiff.train import state, step
      >>> class Ones:
      ...     __next__ = lambda self: np.ones(4)
      ...     get_state = set_state = lambda self, position=None: position
      >>> sgd = optax.sgd(0.5)
      >>> halve = step.train_step(lambda w, key, x: (w - x) ** 2 / 2, sgd, lambda count: jax.numpy.zeros(()))
      >>> start, quiet = state.create(jax.numpy.zeros(()), sgd), lambda line: None
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     done = fit(halve, start, Ones(), jax.random.key(0), TrainSchedule(3), Path(folder), report=quiet)
      >>> int(done.step), float(done.params)
      (3, 0.875)
    """
    if schedule.grid_every and preview is None:
        raise ValueError(f"grid_every={schedule.grid_every} asks for previews of the state, but preview is None")
    paths.check_readable(workdir)
    mesh = sharding.data_mesh(fsdp)
    replicated, shards = sharding.replicated(mesh), fully_sharded.state_sharding(mesh, state)
    batched = sharding.batch_sharding(mesh, axis=1)
    state, key = sharding.shard(state, shards), sharding.shard(key, replicated)
    run = program(step, mesh, shards)
    report, warn = hosts.reporters(report)
    checkpoints = Checkpoints(workdir, schedule.keep_last, warn, schedule.keep_every)
    done = 0
    if restored := checkpoints.restore(state):
        state, done = restored.state, restored.step
        batches.set_state(restored.extra["data"])
        report(f"resuming from step {done}")
    metrics = MetricsFile(workdir / "metrics.jsonl", done, hosts.is_primary())
    watched = Monitors(monitors if hosts.is_primary() and done < schedule.num_steps else (), done, config or {}, report)
    profile = Profile(workdir / "profile", schedule.profile if hosts.is_primary() else 0, report)

    def save(done: int, state: TrainState) -> None:
        try:
            checkpoints.save(done, state, {"data": batches.get_state(), "config": config or {}})
        except OSError as error:
            warn(f"{error}; training goes on")

    def log(line: dict[str, Any]) -> None:
        try:
            metrics.write(line)
        except OSError as error:
            report(f"metrics.jsonl could not be written: {error}; training goes on")
        watched.scalars(line["step"], {name: value for name, value in line.items() if name != "step"})

    def show_preview(done: int, state: TrainState) -> None:
        assert preview is not None  # as the schedule was asked
        try:
            with metrics.paused():
                watched.image(done, "samples", preview(done, state))
        except (OSError, FloatingPointError) as error:
            warn(f"no image of step {done}: {error}; training goes on")

    pending: list[tuple[int, dict[str, jax.Array]]] = []
    index, seen = 0, done
    with jax.set_mesh(mesh), hosts.stopping() as stop, progress(schedule.num_steps, done) as bar:
        try:
            while done < schedule.num_steps:
                count = min(schedule.steps_per_dispatch - done % schedule.steps_per_dispatch, schedule.num_steps - done)
                stacked = jax.tree.map(lambda *a: np.stack(a), *[next(batches) for _ in range(count)])
                with jax.profiler.StepTraceAnnotation("train", step_num=done):
                    state, values = run(state, key, sharding.shard_batch(stacked, batched))
                before, done = done, done + count
                profile.after(done, values)
                pending.append((before, values))
                stopping = stop(index)  # asked once, so that who stops has saved; a later signal waits for its turn
                index += 1
                ending = stopping or done == schedule.num_steps
                saving = ending or done // schedule.checkpoint_every > before // schedule.checkpoint_every
                if saving or done // schedule.log_every > before // schedule.log_every:
                    line = _fetch(pending, checkpoints)
                    pending = []
                    examples = jax.tree.leaves(stacked)[0].shape[1] * jax.process_count()
                    line["images_per_second"] = round(metrics.rate(done) * examples, 1)
                    log(line)
                    show(bar, line, report)
                if saving:
                    save(done, state)
                if stopping:
                    break
                if not pending and schedule.grid_every and done // schedule.grid_every > seen // schedule.grid_every:
                    show_preview(done, state)  # after a line, for which the host has waited anyway
                    seen = done
            if done < schedule.num_steps:
                saved = checkpoints.steps()
                where = f"saved at step {saved[-1]}" if saved else "nothing is saved"
                report(f"stopped at step {done} of {schedule.num_steps}, {where}; the same command goes on from there")
        finally:
            try:
                checkpoints.close()
            except OSError as error:
                warn(str(error))
            profile.close()
            watched.close()  # last, since a service may take its time
    return state


def program(step: Step, mesh: Mesh, shards: PyTree) -> Any:
    """Compile the (state, key, stacked batches) -> (state, metrics) that `fit` calls; the state is donated.

    Call it, or lower it, with the mesh set.

    Args:
      step: a pure step.
      mesh: of `sharding.data_mesh`.
      shards: of the state, from `fully_sharded.state_sharding`.
    Example:
      >>> mesh, x = sharding.data_mesh(num_devices=1), np.ones((3, 4), np.float32)
      >>> run = program(lambda state, key, batch: (state + batch.sum(), {}), mesh, sharding.replicated(mesh))
      >>> with jax.set_mesh(mesh):
      ...     run(x[0, 0], jax.random.key(0), x)[0].item()
      13.0
    """
    return jax.jit(scan_steps(step), donate_argnums=0, out_shardings=(shards, sharding.replicated(mesh)))


def _fetch(pending: list[tuple[int, dict[str, jax.Array]]], checkpoints: Checkpoints) -> dict[str, Any]:
    """Mean metrics since the last line: the only place where the host waits for the devices."""
    values = jax.device_get([values for _, values in pending])
    joined = {name: np.concatenate([v[name] for v in values]) for name in values[0]}
    first, steps = pending[0][0], len(next(iter(joined.values())))
    for offset in range(steps):
        if broken := [f"{name}={v[offset]}" for name, v in joined.items() if not np.isfinite(v[offset])]:
            saved = checkpoints.steps()
            raise TrainingDiverged(
                f"{', '.join(broken)} at step {first + offset}; "
                f"the last good checkpoint is {f'step {saved[-1]}' if saved else 'none yet'}. "
                "Try a lower learning rate, gradient clipping, or look for bad values in the data"
            )
    return {"step": first + steps, **{name: float(np.mean(value)) for name, value in joined.items()}}
