"""The lock of a run's folder: one process writes at a time; the system frees the lock of a process that died."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

NAME = ".lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. Who only reads, or writes other files, need not.

    The file says which process of which host holds it since when. What a process left that was killed is taken over.

    Raises: ValueError naming who holds it; OSError when it cannot be written.
    """
    path = folder / NAME
    file = _take(path)
    try:
        file.truncate(0)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "time": now}, file)
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _take(path: Path) -> IO[str]:
    """The open file, locked; the same that lies there now, since who held it removes it."""
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = False
        except BlockingIOError:
            held = True
        except OSError:  # a file system without locks, where only the file's content can be checked
            held = _alive(_holder(path))
        if held:
            file.close()
            raise ValueError(_busy(path))
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()


def _holder(path: Path) -> dict[str, Any]:
    """What the file says; {} where that is nothing."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"host", "pid", "time"} <= set(found) else {}


def _alive(holder: dict[str, Any]) -> bool:
    """Whether a process may be at work still: one of another host always may."""
    if not holder or holder["host"] != socket.gethostname():
        return bool(holder)
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _busy(path: Path) -> str:
    """Who holds it, and what to do."""
    holder = _holder(path)
    who = "process {pid} of host {host} since {time}".format(**holder) if holder else "another process"
    elsewhere = f", or delete {path} if that process is gone" if holder.get("host") != socket.gethostname() else ""
    return f"{path.parent} is in use by {who}: wait for it or stop it, choose another --workdir{elsewhere}"
