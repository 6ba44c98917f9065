"""Batches by Grain: shuffled anew every epoch, endless, shared out over the hosts, resumable to the very example."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from jaxdiff.imports import needs

with needs("data", __name__):
    import grain

# Grain's defaults, 16 threads and 500 batches, overload the cores and hold 3 GB of CIFAR-10 in floats.
_READING = grain.ReadOptions(num_threads=2, prefetch_buffer_size=16)


class Source(Protocol):
    """Random access to examples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]: ...


@runtime_checkable
class BatchSource(Source, Protocol):
    """A source that reads many examples faster at once than one after another."""

    def take(self, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return the examples of rows [B] as one batch {name: [B, ...]}."""


class ArraySource:
    """Arrays of equal length as a source: example i holds row i of each.

    Example:
      >>> ArraySource(image=np.zeros((3, 2)), label=np.arange(3))[1]["label"].item()
      1
    """

    def __init__(self, **arrays: np.ndarray):
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"arrays must be of equal length, got {lengths}")
        self.arrays = arrays

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: array[index] for name, array in self.arrays.items()}

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the examples of rows [B] as one batch {name: [B, ...]}."""
        return {name: array[rows] for name, array in self.arrays.items()}


class Part:
    """Some examples of a source as a source.

    Example:
      >>> part = Part(ArraySource(label=np.arange(5)), np.array([4, 0]))
      >>> len(part), part[0]["label"].item()
      (2, 4)
    """

    def __init__(self, source: Source, rows: np.ndarray):
        self.source, self.rows = source, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]:
        return self.source[int(self.rows[index])]


def take(source: Source, rows: np.ndarray) -> Mapping[str, np.ndarray]:
    """Take some examples of a source as one batch {name: [B, ...]}.

    Args:
      source: of examples.
      rows: [B] integers, 0 .. len(source) - 1.
    Example:
      >>> take(ArraySource(label=np.arange(5)), np.array([4, 0]))["label"].tolist()
      [4, 0]
    """
    if isinstance(source, BatchSource):
        return source.take(rows)
    examples = [source[int(row)] for row in rows]
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def batches(
    source: Source, batch_size: int, seed: int, host: int | None = None, num_hosts: int | None = None
) -> grain.DatasetIterator:
    """Make an endless iterator of batches {name: [batch_size / num_hosts, ...]}.

    `get_state()` and `set_state()` of the iterator resume exactly.

    Host h gets rows h B / H .. (h + 1) B / H - 1 of every batch of B. The order of the examples does not depend on the
    number of hosts and the state is the number of batches, the same on all of them: a run goes on exactly where it was,
    on another number of hosts too.

    Args:
      source: examples.
      batch_size: examples a batch over all hosts, >= 1; batches run on over the end of an epoch.
      seed: of the shuffling, of all examples together; every epoch has an order of its own.
      host, num_hosts: which of how many; those of this process in JAX where not given.
    Raises: ValueError when batch_size is below 1 or not divisible by num_hosts, host is none of 0 .. num_hosts - 1, or
      the source is empty.
    Example:
      >>> it = batches(ArraySource(label=np.arange(5)), batch_size=5, seed=0)
      >>> sorted(next(it)["label"].tolist())
      [0, 1, 2, 3, 4]
    """
    host = jax.process_index() if host is None else host
    num_hosts = jax.process_count() if num_hosts is None else num_hosts
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 0 <= host < num_hosts:
        raise ValueError(f"host must be 0 to num_hosts - 1 = {num_hosts - 1}, got {host}")
    if batch_size % num_hosts:
        raise ValueError(f"batch_size={batch_size} must be divisible by the {num_hosts} hosts")
    if not len(source):
        raise ValueError("the data source is empty")
    # Rows are shuffled and only then read, a batch at once, which is many times as fast: see `benchmarks.data`.
    rows = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat().batch(batch_size // num_hosts)
    return iter(rows[host::num_hosts].map(partial(take, source)).to_iter_dataset(_READING))
