"""Kill a run of digits, damage its checkpoints, fill its disk: python -m benchmarks.faults

Each kill is a run of its own, ended by `kill -9` at a seeded moment while it waits for data, while a step is in flight,
or while a checkpoint is being written, and started again; its final state must equal the unbroken run's, bit for bit.
Each damage is a copy of the finished run whose newest checkpoint has files cut short, zeroed or deleted: the checkpoint
before must be read instead. Prints one table and writes JSON with --out. Runs are forks of this process, which imports
everything once and leaves the devices to them; compiled programs are shared by JAX's cache.
"""

import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from benchmarks.record import save
from jaxdiff import losses, precond, timesteps
from jaxdiff.data import digits, pipeline
from jaxdiff.nets.mlp import MLP
from jaxdiff.train import ema, fully_sharded, sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.train.loop import TrainSchedule, fit
from jaxdiff.train.state import TrainState, create
from jaxdiff.train.step import Step, train_step
from jaxdiff.types import Array, Key, Params

STEPS, EVERY, BATCH = 24, 4, 16


@dataclass(frozen=True)
class Config:
    """Faults of every kind."""

    kills: int = 20
    """Runs that are killed, in turn while waiting for data, in a step, in a save."""
    damages: int = 20
    """Checkpoints that are damaged: cut short, zeroed, deleted, in turn."""
    seed: int = 0
    """Of the moments and of the files."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/faults-DEVICE.json."""


class Dying:
    """An iterator of batches that ends the process in seeded time at batch `at`: before it is there, or after."""

    def __init__(self, batches: Any, at: int, waiting: bool, seconds: float):
        self.batches, self.at, self.waiting, self.seconds, self.count = batches, at, waiting, seconds, 0

    def __next__(self) -> Any:
        self.count += 1
        if self.count == self.at and self.waiting:
            time.sleep(self.seconds)
            os.kill(os.getpid(), signal.SIGKILL)
        batch = next(self.batches)
        if self.count == self.at:
            kill_in(self.seconds)
        return batch

    def get_state(self) -> Any:
        return {"inner": self.batches.get_state(), "count": self.count}

    def set_state(self, state: Any) -> None:
        self.batches.set_state(state["inner"])
        self.count = state["count"]


def kill_in(seconds: float) -> None:
    """SIGKILL from a thread, while the others go on."""
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()


def build() -> tuple[Step, Callable[[Key], TrainState]]:
    """(step, create) of EDM on digits with a small dense network, whose programs compile in a second."""
    net, parametrisation = MLP(64, 32), precond.edm()

    def apply(params: Params, x: Array, c_noise: Array) -> Array:
        return net.apply(params, jnp.broadcast_to(c_noise, x.shape[:1]), x.reshape(-1, 64)).reshape(x.shape)

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_sigma, key_noise = jax.random.split(key)
        x0 = batch["image"]
        sigma = timesteps.lognormal_sigma(jax.random.normal(key_sigma, x0.shape[:1]))
        return losses.edm_loss(
            precond.denoiser(apply, params, parametrisation), x0, sigma, jax.random.normal(key_noise, x0.shape)
        )

    adam = optax.adam(1e-3)
    init = lambda key: net.init(key, jnp.zeros(1), jnp.zeros((1, 64)))  # noqa: E731
    return train_step(loss, adam, ema.decay(BATCH, 1_000)), lambda key: create(init(key), adam)


def train(folder: Path, kind: str, at: int, seconds: float) -> None:
    """The digits run, to its end or to the fault; leaves final.json: a hash of its state, its losses."""
    (step, make), key = build(), jax.random.key(0)
    inner = pipeline.batches(pipeline.ArraySource(image=digits.load("train").images), BATCH, seed=0)
    batches = Dying(inner, at if kind in ("data", "step") else -1, kind == "data", seconds)
    save = Checkpoints.save

    def save_and_die(self: Checkpoints, done: int, *rest: Any) -> None:
        if kind == "save" and done == at:
            kill_in(seconds)
        save(self, done, *rest)
        if kind == "save" and done == at:
            self.wait()  # it may be whole before the kill comes
            time.sleep(seconds)

    Checkpoints.save = save_and_die  # type: ignore[method-assign]
    state = fully_sharded.init_sharded(sharding.data_mesh(), make, key)
    schedule = TrainSchedule(STEPS, log_every=2, checkpoint_every=EVERY)
    if kind == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    state = fit(step, state, batches, key, schedule, folder, {}, lambda line: print(line, flush=True))
    bits = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (folder / "final.json").write_text(json.dumps([bits.hexdigest(), [(line["step"], line["loss"]) for line in lines]]))


def forked(act: Callable[[], None], log: Path) -> int:
    """The exit status of a child that does this; negative for a signal. What it reports goes to a file."""
    if not (pid := os.fork()):
        code = 1
        try:
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            act()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}")
        finally:  # never back into the parent's code
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed(folder: Path, kind: str, at: int, seconds: float, expected: str) -> bool:
    """Whether a run that is killed and started again ends as the unbroken one."""
    folder.mkdir()
    log = folder.with_suffix(".log")
    if forked(lambda: train(folder, kind, at, seconds), log) != -signal.SIGKILL or (folder / "final.json").exists():
        return False
    return forked(lambda: train(folder, "never", 0, 0.0), log) == 0 and (folder / "final.json").read_text() == expected


def damage(folder: Path, kind: str, draw: random.Random) -> list[str]:
    """Spoil some of the files that hold a checkpoint's arrays, at least the largest; returns their names."""
    files = sorted(path for path in (folder / "state").rglob("*") if path.is_file() and path.parent.name == "d")
    largest = max(files, key=lambda path: path.stat().st_size)
    spoiled = sorted({largest, *draw.sample(files, draw.randint(1, len(files)))})
    for path in spoiled:
        data = path.read_bytes()
        if kind == "deleted":
            path.unlink()
        else:
            cut = draw.randrange(len(data) or 1)
            path.write_bytes(data[:cut] if kind == "truncated" else data[:cut] + bytes(len(data) - cut))
    return [str(path.relative_to(folder)) for path in spoiled]


def detected(finished: Path, folder: Path, kind: str, draw: random.Random) -> bool:
    """Whether the checkpoint before is read, whole, where the newest is damaged."""
    shutil.copytree(finished, folder)
    damage(folder / "checkpoints" / str(STEPS), kind, draw)

    def read() -> None:
        like = jax.eval_shape(build()[1], jax.random.key(0))
        whole = sharding.replicated(sharding.data_mesh())
        like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole), like)
        lines: list[str] = []
        restored = Checkpoints(folder, report=lines.append).restore(like)
        before = restored is not None and restored.step == STEPS - EVERY and int(restored.state.step) == restored.step
        assert before, lines
        assert f"checkpoint {STEPS} is damaged" in lines[0], lines

    return forked(read, folder.with_suffix(".log")) == 0


def full(folder: Path, expected: str) -> tuple[bool, str]:
    """Whether a run on a disk that takes no arrays, a limit of 16 KB a file, ends as the other, and what it says."""
    folder.mkdir()
    log = folder.with_suffix(".log")
    code = forked(lambda: train(folder, "full", 2**14, 0.0), log)
    line = next((line for line in log.read_text().splitlines() if "could not be written" in line), "")
    return code == 0 and bool(line) and (folder / "final.json").read_text() == expected, line


def main(config: Config) -> None:
    """Everything, one table, one file."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    draw = random.Random(config.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not jax.config.jax_compilation_cache_dir:  # JAX_COMPILATION_CACHE_DIR keeps programs from call to call
            jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
        (unbroken := folder / "unbroken").mkdir()
        if forked(lambda: train(unbroken, "never", 0, 0.0), folder / "log"):
            raise RuntimeError((folder / "log").read_text())
        expected = (unbroken / "final.json").read_text()
        survived, line = full(folder / "full", expected)
        counts = {"full disk": [survived]}
        moments = []
        for index in range(config.kills):
            kind = ("data", "step", "save")[index % 3]
            at = draw.choice(range(EVERY, STEPS, EVERY)) if kind == "save" else draw.randint(1, STEPS - 1)
            seconds = draw.uniform(0.0, 0.1)
            moments.append((kind, at, round(seconds, 4)))
            same = killed(folder / f"kill{index}", kind, at, seconds, expected)
            counts.setdefault(f"killed: {kind}", []).append(same)
            print(f"kill {index + 1}: {kind} {at} after {seconds:.4f} s: {'the same' if same else 'OTHER'}", flush=True)
        for index in range(config.damages):
            kind = ("truncated", "zeroed", "deleted")[index % 3]
            found = detected(unbroken, folder / f"damage{index}", kind, draw)
            counts.setdefault(f"damaged: {kind}", []).append(found)
            print(f"damage {index + 1}: {kind}: {'detected' if found else 'NOT DETECTED'}", flush=True)
        if lost := sum(not all(found) for found in counts.values()):
            shutil.copytree(folder, kept := Path(tempfile.mkdtemp()), dirs_exist_ok=True)
            print(f"{lost} kinds of fault were not survived; what they left is in {kept}")
    print(f"{'fault':<22}survived")
    for kind, found in counts.items():
        print(f"{kind:<22}{sum(found)} of {len(found)}")
    print(line.replace(str(folder), "WORKDIR"))
    table = {kind: {"survived": sum(found), "of": len(found)} for kind, found in counts.items()}
    said = line.replace(str(folder), "WORKDIR")
    save(config.out, {"faults": table, "moments": moments, "full_disk_says": said, "seed": config.seed})
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main(tyro.cli(Config))
