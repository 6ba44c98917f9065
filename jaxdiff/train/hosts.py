"""Several processes, on one machine or many: joining them, which of them reports, and stopping at the same step."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import jax
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

T = TypeVar("T")
Report = Callable[[str], None]
_DAY = 24 * 60 * 60
NOTICES = [signal.Signals[name] for name in ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP") if hasattr(signal, name)]
"""Signals by which a scheduler, or a terminal that is closed, asks a run to save and leave."""


def initialize(
    coordinator_address: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Join the other processes, by jax.distributed.initialize; call it before anything touches a device.

    On TPU pods, under SLURM and Open MPI nothing need be given: JAX reads what it needs from the cluster.

    Args:
      coordinator_address: "host:port" of process 0.
      num_processes: how many there are.
      process_id: which this is, 0 .. num_processes - 1.
    Raises: ValueError where neither the arguments nor the cluster say all of that.
    Example:
      >>> initialize("localhost:1", num_processes=2)
      Traceback (most recent call last):
      ValueError: the processes of a distributed run could not be joined (...
    """
    try:
        jax.distributed.initialize(coordinator_address, num_processes, process_id)
    except (ValueError, RuntimeError, TypeError) as error:
        given = f"coordinator_address={coordinator_address}, num_processes={num_processes}, process_id={process_id}"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"the processes of a distributed run could not be joined ({reason}), got {given}: outside TPU pods, SLURM "
            "and Open MPI give all three"
        ) from error


def is_primary() -> bool:
    """Return whether this is process 0, which alone writes metrics, reports and images.

    Example:
      >>> is_primary()
      True
    """
    return jax.process_index() == 0


def reporters(report: Report) -> tuple[Report, Report]:
    """Make two reporters: what process 0 reports for all, and what each process reports for itself, with its number.

    Neither raises where nothing can be written: output often goes to the disk that is full.

    Example:
      >>> of_all, of_each = reporters(print)
      >>> of_all("step 1")
      step 1
    """

    def say(line: str) -> None:
        with suppress(OSError):
            report(line)

    if is_primary():
        return say, say
    return lambda line: None, lambda line: say(f"process {jax.process_index()}: {line}")


def primary_first(act: Callable[[], T]) -> T:
    """Call act() on process 0 first, and then on the others: they see the files that it has written.

    Example:
      >>> primary_first(lambda: 2)
      2
    """
    if jax.process_count() == 1:
        return act()
    if not is_primary():
        multihost_utils.sync_global_devices("primary_first")
        return act()
    try:
        return act()
    finally:  # what fails here fails there too, and is reported by each
        multihost_utils.sync_global_devices("primary_first")


def run_on_primary(act: Callable[[], None]) -> None:
    """Call act() on process 0 only.

    Raises: ValueError or OSError where act does, on every process.
    Example:
      >>> run_on_primary(lambda: print("claimed"))
      claimed
    """
    refusal: Exception | None = None
    if is_primary():
        try:
            act()
        except (ValueError, OSError) as error:
            refusal = error
    if not all_agree(refusal is None):
        raise refusal or ValueError("process 0 says why")


def barrier() -> None:
    """Wait until all processes are here, a day at most: process 0 may have sampled for hours.

    Example:
      >>> barrier()
    """
    if jax.process_count() > 1:
        # Not by a collective, which would give up on the CPU, and hold the devices elsewhere.
        everyone = set(range(jax.process_count()))
        multihost.sync_global_processes("wait", timeout=_DAY, processes=everyone)


def all_agree(well: bool) -> bool:
    """Return whether `well` holds on all processes.

    Example:
      >>> all_agree(True), all_agree(False)
      (True, False)
    """
    return well if jax.process_count() == 1 else bool(multihost_utils.process_allgather(well).all())


@contextmanager
def stopping() -> Iterator[Callable[[int], bool]]:
    """Handle signals: yields stop(i), asked after the i-th dispatch, i = 0, 1, ...: whether to save and leave.

    One process: after one of `NOTICES` or the first SIGINT; a second SIGINT interrupts as usual. Until stop(0) signals
    act as they did before: nothing is new that could be lost, and compiling may take minutes. Several: JAX's own
    preemption notice, which a notice at any of them gives to all, so that all stop after the same dispatch.

    Example:
      >>> with stopping() as stop:
      ...     stop(0)
      False
    """
    if jax.process_count() > 1:
        # JAX listens to SIGTERM alone, outside Python: the others are passed on as that.
        passed_on = lambda number, frame: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        with _handled(passed_on, [number for number in NOTICES if number != signal.SIGTERM]):
            yield multihost_utils.reached_preemption_sync_point
        return
    with _signals() as stop:
        yield stop


@contextmanager
def _signals() -> Iterator[Callable[[int], bool]]:
    """Whether a notice or a SIGINT has come since this was asked with 0."""
    stop, started = threading.Event(), time.monotonic()

    def ask(number: int, frame: Any) -> None:
        if number == signal.SIGINT and stop.is_set():
            raise KeyboardInterrupt(f"after {time.monotonic() - started:.0f} s")
        stop.set()

    with ExitStack() as handled:

        def stop_at(index: int) -> bool:
            if index == 0:
                handled.enter_context(_handled(ask, [*NOTICES, signal.SIGINT]))
            return stop.is_set()

        yield stop_at


@contextmanager
def _handled(handler: Callable[[int, Any], None], numbers: list[signal.Signals]) -> Iterator[None]:
    """A handler of some signals, where Python allows one; what nohup made deaf to SIGHUP stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [n for n in numbers if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
