"""The loop around the step: resume, progress, metrics, checkpoints, signals. It changes no number."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from tqdm import tqdm

from jaxdiff.train import sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.train.metrics import MetricsFile
from jaxdiff.train.state import TrainState
from jaxdiff.train.step import Step, many_steps
from jaxdiff.types import Key, PyTree


class TrainingDiverged(RuntimeError):
    """A loss or gradient was not finite."""


class Batches(Protocol):
    """An endless iterator whose position can be saved, as Grain's are."""

    def __next__(self) -> PyTree: ...

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


@dataclass(frozen=True)
class Budget:
    """How long to train, and how often to look.

    Attributes:
      num_steps: total, over all resumptions.
      steps_per_dispatch: steps in one compiled call; 1 is best on CPUs, see `step.many_steps`.
      log_every, checkpoint_every: in steps; both happen between dispatches.
      keep_last: checkpoints to keep.
    """

    num_steps: int
    steps_per_dispatch: int = 1
    log_every: int = 50
    checkpoint_every: int = 500
    keep_last: int = 3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def fit(
    step: Step,
    state: TrainState,
    batches: Batches,
    key: Key,
    budget: Budget,
    workdir: Path,
    config: dict[str, Any] | None = None,
    report: Callable[[str], None] = tqdm.write,
) -> TrainState:
    """Train from the newest checkpoint in `workdir` (or from `state`) to `budget.num_steps`.

    The calls of the compiled step depend on the step count only, so that a run that was killed and resumed ends
    bit-identical to an unbroken one. After SIGTERM or SIGINT it saves and returns early: compare `state.step`.

    Args:
      step: a pure step, from `step.train_step`.
      state: what to start from; it is donated.
      batches: of examples {name: [B, ...]}.
      key: all randomness is folded from it and the step.
      budget: how long, and how often to log and to save.
      workdir: gets checkpoints/ and metrics.jsonl.
      config: JSON values, saved with every checkpoint.
      report: is told what a person should know, a line at a time.
    Returns: the last state.
    Raises: TrainingDiverged when a loss or gradient is not finite, naming the step and the last good checkpoint.
    """
    mesh = sharding.data_mesh()
    state = sharding.place(state, sharding.replicated(mesh))
    key = jax.device_put(key, sharding.replicated(mesh))
    run = jax.jit(many_steps(step), donate_argnums=0)
    checkpoints = Checkpoints(workdir, budget.keep_last, report)
    done = 0
    if restored := checkpoints.restore(state):
        state, done = restored.state, restored.step
        batches.set_state(restored.extra["data"])
        report(f"resuming from step {done}")
    metrics = MetricsFile(workdir / "metrics.jsonl", done)

    def save(done: int, state: TrainState) -> None:
        try:
            checkpoints.save(done, state, {"data": batches.get_state(), "config": config or {}})
        except OSError as error:
            report(f"{error}; training goes on")

    pending: list[tuple[int, dict[str, jax.Array]]] = []
    with _signals() as stop, _progress(budget.num_steps, done) as bar:
        try:
            while done < budget.num_steps:
                count = min(budget.steps_per_dispatch - done % budget.steps_per_dispatch, budget.num_steps - done)
                stacked = jax.tree.map(lambda *a: np.stack(a), *[next(batches) for _ in range(count)])
                state, values = run(state, key, sharding.place(stacked, sharding.split(mesh, axis=1)))
                before, done = done, done + count
                pending.append((before, values))
                stopping = stop.is_set()  # asked once, so that who stops has saved; a later signal waits for its turn
                ending = stopping or done == budget.num_steps
                saving = ending or done // budget.checkpoint_every > before // budget.checkpoint_every
                if saving or done // budget.log_every > before // budget.log_every:
                    line = _fetch(pending, checkpoints)
                    pending = []
                    line["images_per_second"] = round(metrics.rate(done) * jax.tree.leaves(stacked)[0].shape[1], 1)
                    try:
                        metrics.write(line)
                    except OSError as error:
                        report(f"metrics.jsonl could not be written: {error}; training goes on")
                    _show(bar, line, budget, report)
                if saving:
                    save(done, state)
                if stopping:
                    break
            if done < budget.num_steps:
                saved = checkpoints.steps()
                where = f"saved at step {saved[-1]}" if saved else "nothing is saved"
                report(f"stopped at step {done} of {budget.num_steps}, {where}; the same command goes on from there")
        finally:
            try:
                checkpoints.close()
            except OSError as error:
                report(str(error))
    return state


def _show(bar: tqdm, line: dict[str, Any], budget: Budget, report: Callable[[str], None]) -> None:
    """The bar on a terminal; elsewhere about ten lines in all."""
    before, done = bar.n, line["step"]
    bar.n = done
    bar.set_postfix(loss=f"{line['loss']:.4f}", images_per_s=line["images_per_second"])
    tenth = max(budget.num_steps // 10, 1)
    if bar.disable and done // tenth > before // tenth:
        report(f"step {done}/{budget.num_steps}: loss {line['loss']:.4f}, {line['images_per_second']} images/s")


def _fetch(pending: list[tuple[int, dict[str, jax.Array]]], checkpoints: Checkpoints) -> dict[str, Any]:
    """Mean metrics since the last line: the only place where the host waits for the devices."""
    values = jax.device_get([values for _, values in pending])
    joined = {name: np.concatenate([v[name] for v in values]) for name in values[0]}
    first, steps = pending[0][0], len(joined["loss"])
    for offset in range(steps):
        if not all(np.isfinite(value[offset]) for value in joined.values()):
            saved = checkpoints.steps()
            raise TrainingDiverged(
                f"{', '.join(f'{name}={value[offset]}' for name, value in joined.items())} at step {first + offset}; "
                f"the last good checkpoint is {f'step {saved[-1]}' if saved else 'none yet'}. "
                "Try a lower learning rate, gradient clipping, or look for bad values in the data"
            )
    return {"step": first + steps, **{name: float(np.mean(value)) for name, value in joined.items()}}


@contextmanager
def _progress(total: int, done: int) -> Iterator[tqdm]:
    with tqdm(total=total, initial=done, desc="training", unit="step", disable=None, file=sys.stderr) as bar:
        bar.n = done
        yield bar


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGTERM or the first SIGINT sets; a second SIGINT interrupts as usual."""
    stop, started = threading.Event(), time.monotonic()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if number == signal.SIGINT and stop.is_set():
            raise KeyboardInterrupt(f"after {time.monotonic() - started:.0f} s")
        stop.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
