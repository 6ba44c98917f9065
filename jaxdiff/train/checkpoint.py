"""Checkpoints by Orbax v1: train state, data iterator and config together, with a checksum of every array.

The only file, with `reading`, that saves and reads by Orbax. Saving is asynchronous and atomic. Reading changes
nothing on the disk, so that a run can be read while it trains; what cannot be read back is reported, set aside by the
next save, never deleted. The first save of a process is read back, and counts only then: what is wrong with a place or
with versions shows there.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdiff.train import hosts, paths, preservation, reading
from jaxdiff.train.checksums import checksum, checksums, describe_difference, describe_leaves
from jaxdiff.train.reading import CheckpointError, ocp
from jaxdiff.types import PyTree


class Restored(NamedTuple):
    """A state read back, the JSON that was saved with it, and its step."""

    state: PyTree
    extra: dict[str, Any]
    step: int


class _Saved(NamedTuple):
    """A save that was not read back yet: its step, arrays of its shapes and types, their checksums."""

    step: int
    like: PyTree
    expected: list[int]


class Checkpoints:
    """The checkpoints of one run, under `<workdir>/checkpoints/<step>`.

    Args:
      workdir: folder of the run.
      keep_last: how many of the newest to keep, >= 1.
      report: takes a line for every checkpoint that cannot be read or written.
      keep_every: the first checkpoint of every so many steps is kept besides, >= 1; 0 for none.
    Raises: ValueError for one of these, or a workdir under which no checkpoint could be read back.
    """

    def __init__(self, workdir: Path, keep_last: int = 3, report: Callable[[str], None] = print, keep_every: int = 0):
        for name, value, least in (("keep_last", keep_last, 1), ("keep_every", keep_every, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.directory = Path(workdir).absolute() / "checkpoints"
        if not self.directory.is_dir():  # what was written elsewhere and brought here can be read
            paths.check_readable(Path(workdir))
        self.keep_last, self.keep_every, self.report = keep_last, keep_every, report
        self.damaged: list[int] = []
        self.pending: Any = None
        self.writing, self.verified = False, False
        self.saved: _Saved | None = None
        self.unread: int | None = None
        self.checkpointer = self._open()

    def _open(self) -> Any:
        policies = ocp.training.preservation_policies
        # One more until a save was read back, so that the last one that could be is not removed for it.
        kept: list[Any] = [preservation.Newest(lambda: self.keep_last + (not self.verified))]
        kept += [preservation.FirstOfEvery(self.keep_every)] if self.keep_every else []
        return ocp.training.Checkpointer(
            self.directory,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=policies.AnyPreservationPolicy(kept),
            cleanup_tmp_directories=self.writing,
        )

    def steps(self) -> list[int]:
        """List the steps of the checkpoints that are whole on the disk, oldest first; waits for a save in progress."""
        self._settle()
        return sorted(int(found.step) for found in self.checkpointer.checkpoints if found.step not in self.damaged)

    def save(self, step: int, state: PyTree, extra: dict[str, Any]) -> None:
        """Start to save; waits first for the save before this one, and reports it when that failed.

        Args:
          step: names the folder.
          state: pytree of arrays.
          extra: JSON values, such as the position of the data iterator.
        Raises: OSError when this save could not be started; the next may be tried. Whether the save before it could be
          written and, where it was the first, read back, is reported. ValueError where it could not be read back.
        """
        self._settle()
        if not self.writing:
            paths.check_readable(self.directory.parent)
            self._make_room()
        sums = jax.device_get(checksums(state)).tolist()
        metadata = {"extra": extra, "leaves": describe_leaves(state), "checksums": sums}
        try:
            self.pending = self.checkpointer.save_checkpointables_async(
                step, {"state": state}, custom_metadata=metadata, force=True
            )
        except Exception as error:
            raise self._failed(error) from error
        # Arrays without memory of their own, since devices may have no room to read to.
        like = jax.tree.map(lambda a: np.broadcast_to(np.zeros((), a.dtype), a.shape), state)
        self.saved = None if self.verified else _Saved(step, like, sums)

    def wait(self) -> None:
        """Wait until the last save is on the disk; OSError when it could not be written, or the first not be read."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        try:
            pending.result()
        except Exception as error:  # Orbax's threads raise whatever the file system layer raised
            raise self._failed(error) from error
        saved, self.saved = self.saved, None
        if saved is not None:
            self._verify(saved)

    def _verify(self, saved: _Saved) -> None:
        """Read a save back, a quarter at a time; raises OSError when it is not what was saved: it does not count."""
        like, tree = jax.tree.flatten(saved.like)
        reason = ""
        for part in range(4):  # all four, whatever happens, since several processes read together
            asked = jax.tree.unflatten(tree, [a if i % 4 == part else ... for i, a in enumerate(like)])
            try:
                read = jax.tree.leaves(self.checkpointer.load_checkpointables(saved.step, {"state": asked})["state"])
                if [checksum(a) for a in read if a is not ...] != saved.expected[part::4]:
                    raise CheckpointError("its arrays are not those that were saved")
            except Exception as error:  # a file that is not there surfaces as any of many library errors
                reason = reason or reading.reason(error)
        self.verified = hosts.all_agree(not reason)
        if not self.verified:
            self.damaged.append(saved.step)
            self.unread, self.writing = saved.step, False  # the next save removes it
            raise OSError(
                f"checkpoint {saved.step} was written to {self.directory} but cannot be read back, so it does not "
                f"count: {reason or 'on another host'}"
            )

    def _settle(self) -> None:
        try:
            self.wait()
        except OSError as error:
            self.report(str(error))

    def _failed(self, error: Exception) -> OSError:
        """Start afresh from what is on the disk, since Orbax still lists the checkpoint that failed."""
        with contextlib.suppress(Exception):
            self.checkpointer.close()
        with contextlib.suppress(Exception):  # a disk too full for a folder: the next save fails in turn
            self.checkpointer = self._open()
        return OSError(f"a checkpoint could not be written to {self.directory}: {reading.reason(error)}")

    def restore(self, like: PyTree, partial: bool = False) -> Restored | None:
        """Restore the newest checkpoint that can be read; None where there is none at all.

        Args:
          like: a state of the same shapes, whose shardings the arrays will have.
          partial: `like` is a dict of some of the state's entries, such as {"ema": ...}; the others are not read.
        Raises: CheckpointError when there are checkpoints, but none can be read, or the newest that can holds a state
          of other shapes.
        """
        steps = self.steps()
        for step in reversed(steps):
            state, differs, reason = None, "", ""
            metadata: dict[str, Any] = {}
            try:
                metadata = self.checkpointer.checkpointables_metadata(step).custom_metadata or {}
                if "checksums" not in metadata:
                    raise CheckpointError("its metadata is missing")
                leaves, sums = metadata.get("leaves", describe_leaves(like)), metadata["checksums"]
                leaves, sums = reading.part(leaves, sums, like) if partial else (leaves, sums)
                differs = describe_difference(leaves, describe_leaves(like))
                state = None if differs else reading.read(self.checkpointer, step, like, sums, partial)
            except Exception as error:  # a damaged file surfaces as any of many library errors
                reason = reading.reason(error)
            if not hosts.all_agree(not reason):
                self.damaged.append(step)
                self.report(f"checkpoint {step} is damaged ({reason or 'on another host'}); trying the one before")
                continue
            if differs:
                raise CheckpointError(f"checkpoint {step} in {self.directory} holds another state: {differs}")
            return Restored(state, metadata["extra"], step)
        if steps:
            self.damaged = []  # nothing is moved away before there is a better one
            raise CheckpointError(f"none of the checkpoints {steps} in {self.directory} can be read")
        return None

    def check(self, like: PyTree) -> None:
        """Raise CheckpointError where the newest checkpoint holds a state of other shapes or types."""
        wanted = describe_leaves(like)
        for step in self.steps()[-1:]:
            saved = wanted
            with contextlib.suppress(Exception):  # what is damaged is for `restore` to say
                saved = self.checkpointer.checkpointables_metadata(step).custom_metadata["leaves"]
            if differs := describe_difference(saved, wanted):
                raise CheckpointError(f"checkpoint {step} in {self.directory} holds another state: {differs}")

    def read(self, entry: str) -> Restored | None:
        """Read one entry of the newest state that can be read, whatever its shapes, as nested dicts of NumPy arrays.

        Args:
          entry: such as "ema" or "params".
        Returns: as `restore`; `state` is what lies under that entry.
        Raises: CheckpointError as `restore`, or when the state has no such entry.
        """
        for step in reversed(self.steps()):
            with contextlib.suppress(Exception):  # what is damaged is for `restore` to say
                leaves = self.checkpointer.checkpointables_metadata(step).custom_metadata["leaves"]
                break
        else:
            return self.restore({}, partial=True)
        found = self.restore(reading.outline(leaves, entry), partial=True)
        return found and found._replace(state=found.state[entry])

    def _make_room(self) -> None:
        """Before the first save: half-written folders of a killed process go, damaged checkpoints to <workdir>/damaged.

        Only who saves may do so: what looks half-written to a reader is being written by somebody.
        """
        self.checkpointer.close()
        hosts.primary_first(self._set_aside)
        self.damaged, self.writing = [], True
        self.checkpointer = self._open()

    def _set_aside(self) -> None:
        for step in self.damaged if hosts.is_primary() else []:
            if step == self.unread:  # of the state that is saved anew; a place that keeps none would fill with them
                shutil.rmtree(self.directory / str(step), ignore_errors=True)
                continue
            target = self.directory.parent / "damaged" / str(step)
            while target.exists():
                target = target.with_name(target.name + "_")
            target.parent.mkdir(exist_ok=True)
            shutil.move(self.directory / str(step), target)
            self.report(f"checkpoint {step} was moved to {target}")

    def close(self) -> None:
        """Finish what is being written and let go; raises OSError when it could not be written."""
        try:
            self.wait()
        finally:
            self.checkpointer.close()
