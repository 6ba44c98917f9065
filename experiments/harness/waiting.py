"""Long waits: say what a command is doing and for how long, and let Ctrl-C end it while XLA compiles.

Python runs signal handlers between two of its own instructions. XLA compiles for minutes inside one, so that a second
thread speaks, and ends the process where nothing could be lost.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

QUIET = 10.0
"""Seconds without output before a line says what is done; the next come after twice as many each. Of steps that are
computed, one that lasts longer than all before is worth a line."""
PATIENCE = 2.0
"""Seconds that an interruption waits for Python."""
COMPILING = ("jax/_src/compiler.py", "jax/_src/interpreters/mlir.py", "jax/_src/interpreters/partial_eval.py")
COMPUTING = ("jaxdiff/train/loop.py", "experiments/harness/generate.py")


class Watched:
    """A stream that knows when it was written to."""

    def __init__(self, stream: Any, moved: dict[str, float]):
        self.stream, self.moved = stream, moved

    def write(self, text: str) -> Any:
        """As of the stream."""
        self.moved["at"] = time.monotonic()
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def watched(prog: str) -> Iterator[None]:
    """Print on standard error, while nothing else is written, what is compiled or computed.

    SIGINT raises KeyboardInterrupt as ever; where Python does not come to that, the process ends with status 130, but
    not while another handler of SIGINT, such as that of `fit`, has something to save. What ignores SIGINT goes on so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    moved, handled = {"at": time.monotonic()}, threading.Event()

    def interrupt(number: int, frame: Any) -> None:
        handled.set()
        raise KeyboardInterrupt

    streams, (reading, writing) = (sys.stdout, sys.stderr), os.pipe()
    os.set_blocking(writing, False)
    handler, wakeup = signal.signal(signal.SIGINT, interrupt), signal.set_wakeup_fd(writing)
    sys.stdout, sys.stderr = (Watched(stream, moved) for stream in streams)  # type: ignore[assignment]
    arguments = (prog, reading, moved, handled, interrupt, streams[1])
    thread = threading.Thread(target=_watch, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGINT, handler)
        os.close(writing)  # which ends the thread
        thread.join()
        os.close(reading)


def _watch(prog: str, reading: int, moved: dict[str, float], handled: threading.Event, own: Any, error: Any) -> None:
    due, interrupted = dict.fromkeys(("compiling", "computing"), QUIET), float("inf")
    while True:
        if select.select([reading], [], [], min(PATIENCE, QUIET) / 4)[0]:
            numbers = os.read(reading, 64)
            if not numbers:
                return
            if signal.SIGINT in numbers:
                interrupted = time.monotonic()
        now = time.monotonic()
        if now - interrupted > PATIENCE:
            interrupted = float("inf")
            if not handled.is_set() and signal.getsignal(signal.SIGINT) is own:
                print(f"{prog}: interrupted while {doing() or 'busy'}: what was saved is kept", file=error, flush=True)
                os._exit(128 + signal.SIGINT)
        at = moved["at"]
        if now - at < QUIET:
            due["compiling"] = QUIET  # not of computing: steps that take as long as others are no news
        elif (what := doing()) and now - at >= due[what]:
            due[what] = 2 * (now - at)
            tqdm.write(f"{what} ... {now - at:.0f} s", file=error)
            moved["at"] = at  # bars were drawn anew, but have not moved


def doing() -> str | None:
    """Return what the main thread is doing, by the files of its calls: compiling, or computing."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    files = set()
    while frame is not None:
        files.add(frame.f_code.co_filename.replace(os.sep, "/"))
        frame = frame.f_back
    for what, names in (("compiling", COMPILING), ("computing", COMPUTING)):
        if any(path.endswith(names) for path in files):
            return what
    return None
