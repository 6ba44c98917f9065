"""How benchmarks take time: a call waits for the device, and the best of several is the machine at its quietest."""

import time
from collections.abc import Callable
from typing import Any

import jax


def seconds(run: Callable[[], Any]) -> float:
    """Wall time of one call, to the end of what it started."""
    started = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - started


def best(run: Callable[[], Any], repeats: int) -> float:
    """Shortest of several calls, after one that is not counted."""
    run()
    return min(seconds(run) for _ in range(repeats))
