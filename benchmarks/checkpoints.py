"""What asynchronous checkpoints cost a training run: python -m benchmarks.checkpoints

Trains the network of `experiments.edm_digits` in blocks of steps, in turn with and without a save at the start of a
block, each long enough that the save is on the disk at its end. A pair's difference is what one save costs the run,
through the host's wait and through what its threads take from the step; a sixtieth of it a second is the share at one
save a minute. Prints the median and quartiles over all pairs, how long the call to save keeps the host, and what it
costs to read the first save of a process back. Writes JSON with --out.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
from tqdm import tqdm

from benchmarks.programs import running
from benchmarks.record import save
from experiments import edm_digits
from experiments.harness import workdir
from jaxdiff.data import digits, pipeline
from jaxdiff.train import sharding
from jaxdiff.train.checkpoint import Checkpoints


@dataclass(frozen=True)
class Config:
    """Stall of a training run per save."""

    steps: int = 12
    """Steps of a block."""
    pairs: int = 12
    """Blocks with a save, and as many without."""
    model_channels: int = 32
    """Width of the network."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/checkpoints-DEVICE.json."""


def main(config: Config) -> None:
    """Measure, print, write."""
    flags = edm_digits.Config(model_channels=config.model_channels)
    run, state, key, mesh = running(flags, edm_digits.system(flags))
    half = digits.load("train")
    batches = pipeline.batches(pipeline.ArraySource(image=half.images, label=half.labels), flags.batch_size, 0)
    calls: list[float] = []

    with tempfile.TemporaryDirectory() as folder, jax.set_mesh(mesh):
        checkpoints = Checkpoints(Path(folder), keep_last=2)

        def block(index: int, save: bool) -> float:
            """Seconds of a block, from an idle device to an idle device with nothing left to write."""
            nonlocal state
            jax.block_until_ready(state)
            started = time.perf_counter()
            if save:
                checkpoints.save(index, state, {"data": batches.get_state()})
                calls.append(time.perf_counter() - started)
            for _ in range(config.steps):
                stacked = jax.tree.map(lambda a: np.asarray(a)[None], next(batches))
                state, _ = run(state, key, sharding.shard_batch(stacked, sharding.batch_sharding(mesh, axis=1)))
            jax.block_until_ready(state)
            checkpoints.wait()
            return time.perf_counter() - started

        def saved(index: int) -> float:
            """Seconds of a save that is waited for."""
            started = time.perf_counter()
            checkpoints.save(index, state, {})
            checkpoints.wait()
            return time.perf_counter() - started

        proofs = []
        for n in range(0, 10, 2):
            checkpoints.close()
            checkpoints = Checkpoints(Path(folder), keep_last=2)
            proofs.append(saved(n) - saved(n + 1))  # the first of a process is read back
        block(10, save=True), block(11, save=False)
        calls.clear()
        # Which of a pair comes first changes from pair to pair, so that a drift of the machine cancels.
        taken = []
        for n in tqdm(range(1, config.pairs + 1), desc="pairs", disable=None):
            found = {save: block(10 + 2 * n + save, save) for save in ((True, False) if n % 2 else (False, True))}
            taken.append((found[True], found[False]))
        checkpoints.close()

    times = np.array(taken)
    extra = times[:, 0] - times[:, 1]
    low, median, high = np.quantile(extra, [0.25, 0.5, 0.75]).tolist()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    about = workdir.environment()
    print(f"{about['device']}, jax {about['versions']['jax']}, state of {size / 1e6:.1f} MB")
    print(f"a step without saves: {np.median(times[:, 1]) / config.steps * 1e3:.1f} ms")
    print(f"the call to save: {1e3 * np.median(calls):.1f} ms")
    print(f"a save costs the run {1e3 * median:.0f} ms (quartiles {1e3 * low:.0f} to {1e3 * high:.0f})")
    print(f"reading the first save back: {1e3 * np.median(proofs):.0f} ms, once a process")
    print(f"at one save a minute: {median / 60:.2%} of the time (asked: at most 2 %)")
    record = {"share_at_one_a_minute": median / 60, "seconds_a_save": median, "quartiles": [low, high]}
    record |= {"call_seconds": float(np.median(calls)), "state_bytes": size, "pairs": config.pairs}
    record |= {"seconds_to_read_the_first_back": float(np.median(proofs))}
    save(config.out, {**record, "step_seconds": float(np.median(times[:, 1])) / config.steps})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.checkpoints"))
