"""Images of a run for its evaluation, kept in shards: what is missing is drawn, image i from seed i only."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray

from experiments.harness import generate, shards
from experiments.harness.system import Sampling, System
from jaxdiff.types import Params


def identity(params: Params, step: int, sampling: Sampling) -> str:
    """Return a folder's name: the step, and a digest of the parameters, the sampler and its levels.

    Images of a run that was trained further, or anew in the same folder, are thereby never mixed with these.
    """
    digest = hashlib.sha256(sampling.name.encode())
    digest.update(np.ascontiguousarray(sampling.sigmas).tobytes())
    for leaf in jax.tree.leaves(params):
        digest.update(np.asarray(leaf).tobytes())
    return f"step-{step:08d}-{digest.hexdigest()[:8]}"


def draw_missing(
    folder: Path, parts: Sequence[range], system: System, params: Params, sampling: Sampling, batch_size: int
) -> int:
    """Draw the parts that are absent or damaged, each written as soon as it is complete.

    Returns: how many images were drawn.
    """
    wanted = shards.missing(folder, parts)
    if not wanted:
        return 0
    seeds = np.concatenate([np.arange(span.start, span.stop) for span in wanted])
    batches = generate.draw(system, params, generate.request(system, sampling, seeds, batch_size))
    for span, images in zip(wanted, recut(batches, [len(span) for span in wanted]), strict=True):
        shards.save(folder, span, images=images)
    return len(seeds)


def recut(batches: Iterable[NDArray], sizes: Sequence[int]) -> Iterator[NDArray]:
    """Cut the rows of a stream of batches into parts of other sizes; no more than a part and a batch are held.

    Example:
      >>> [part.tolist() for part in recut([np.arange(4), np.arange(4, 7)], [3, 3, 1])]
      [[0, 1, 2], [3, 4, 5], [6]]
    """
    stream = iter(batches)
    held: list[NDArray] = []
    for size in sizes:
        while sum(len(batch) for batch in held) < size:
            held.append(next(stream))
        rows = np.concatenate(held)
        held = [rows[size:]]
        yield rows[:size]
