"""Checkpoints by Orbax v1: train state, data iterator and config together, with a checksum of every array.

The only file that saves and reads by Orbax. Saving is asynchronous and atomic. Reading changes nothing on the disk, so
that a run can be read while it trains; what cannot be read back is reported, set aside by the next save, never deleted.
"""

import contextlib
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.train import hosts
from jaxdiff.types import Array, PyTree

try:
    from orbax.checkpoint import v1 as ocp  # its final place
except ImportError:
    from orbax.checkpoint.experimental import v1 as ocp


class CheckpointError(ValueError):
    """No checkpoint could be read, or none that fits."""


class Restored(NamedTuple):
    """A state read back, the JSON that was saved beside it, and its step."""

    state: PyTree
    extra: dict[str, Any]
    step: int


@jax.jit
def checksums(tree: PyTree) -> Array:
    """One uint32 per leaf: the sum of its bytes' words, each times an odd number of its place.

    Integer sums do not depend on the order, hence not on the sharding: a state saved on eight devices and read on one
    has the same. Computed on the devices, so that nothing is copied to the host for it.

    Example:
      >>> a, b = (checksums({"w": jnp.arange(4.0).at[0].set(x)}) for x in (0.0, 1e-9))
      >>> bool((a == b).all())
      False
    """

    def one(leaf: Array) -> Array:
        leaf = leaf.astype(jnp.uint8) if leaf.dtype == bool else leaf
        bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{8 * min(leaf.dtype.itemsize, 4)}"))
        # The place in row-major order, without a reshape, for which cut arrays would be put together.
        place = jnp.zeros(bits.shape, jnp.uint32)
        for axis in range(bits.ndim):
            stride = math.prod(bits.shape[axis + 1 :]) % 2**32
            place += jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis) * jnp.uint32(stride)
        return jnp.sum(bits.astype(jnp.uint32) * (2 * place + 1), dtype=jnp.uint32)

    return jnp.stack([one(leaf) for leaf in jax.tree.leaves(tree)])


def _leaves(tree: PyTree) -> list[list[Any]]:
    """Name, shape and type of every leaf, as JSON."""
    named = jax.tree_util.tree_leaves_with_path(tree)
    return [[jax.tree_util.keystr(path, simple=True, separator="/"), list(a.shape), str(a.dtype)] for path, a in named]


def _difference(saved: list[list[Any]], wanted: list[list[Any]]) -> str:
    """The first leaf in which two states differ, in words; empty where they agree."""
    there, here = ({name: f"{dtype}{shape}" for name, shape, dtype in leaves} for leaves in (saved, wanted))
    for name in dict.fromkeys([*there, *here]):
        if there.get(name) != here.get(name):
            return f"{name} is {there.get(name, 'absent')} in the checkpoint and {here.get(name, 'absent')} here"
    return ""


def _reason(error: BaseException) -> str:
    """The first line of what went wrong first; Orbax wraps it several times."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


class _FirstOfEvery(NamedTuple):
    """Orbax's question which checkpoints to keep: the first at or after every multiple of `steps`."""

    steps: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        spans = [int(found.step) // self.steps for found in checkpoints]
        return [span > 0 and span not in spans[:i] for i, span in enumerate(spans)]


class Checkpoints:
    """The checkpoints of one run, under `<workdir>/checkpoints/<step>`.

    Args:
      workdir: folder of the run.
      keep_last: how many of the newest to keep, >= 1.
      report: is told in one line of every checkpoint that cannot be read or written.
      keep_every: the first checkpoint of every so many steps is kept besides, >= 1; 0 for none.
    """

    def __init__(self, workdir: Path, keep_last: int = 3, report: Callable[[str], None] = print, keep_every: int = 0):
        for name, value, least in (("keep_last", keep_last, 1), ("keep_every", keep_every, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.directory = Path(workdir).absolute() / "checkpoints"
        self.keep_last, self.keep_every, self.report = keep_last, keep_every, report
        self.damaged: list[int] = []
        self.pending: Any = None
        self.writing = False
        self.checkpointer = self._open()

    def _open(self) -> Any:
        policies = ocp.training.preservation_policies
        kept: list[Any] = [policies.LatestN(self.keep_last)]
        kept += [_FirstOfEvery(self.keep_every)] if self.keep_every else []
        return ocp.training.Checkpointer(
            self.directory,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=policies.AnyPreservationPolicy(kept),
            cleanup_tmp_directories=self.writing,
        )

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are whole on the disk, oldest first; waits for a save in progress."""
        self._settle()
        return sorted(int(found.step) for found in self.checkpointer.checkpoints if found.step not in self.damaged)

    def save(self, step: int, state: PyTree, extra: dict[str, Any]) -> None:
        """Start to save; waits first for the save before this one, and reports it when that failed.

        Args:
          step: names the folder.
          state: pytree of arrays.
          extra: JSON values, such as the position of the data iterator.
        Raises: OSError when this save could not be started; the next may be tried.
        """
        self._settle()
        if not self.writing:
            self._make_room()
        beside = {"extra": extra, "leaves": _leaves(state), "checksums": jax.device_get(checksums(state)).tolist()}
        try:
            self.pending = self.checkpointer.save_checkpointables_async(
                step, {"state": state}, custom_metadata=beside, force=True
            )
        except Exception as error:
            raise self._failed(error) from error

    def wait(self) -> None:
        """Until the last save is on the disk; raises OSError when it could not be written."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        try:
            pending.result()
        except Exception as error:  # Orbax's threads raise whatever the file system layer raised
            raise self._failed(error) from error

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
        return OSError(f"a checkpoint could not be written to {self.directory}: {_reason(error)}")

    def restore(self, like: PyTree) -> Restored | None:
        """The newest checkpoint that can be read, or None where there is none at all.

        Args:
          like: a state of the same shapes, whose shardings the arrays will have.
        Raises: CheckpointError when there are checkpoints, but none can be read, or the newest that can holds a state
          of other shapes.
        """
        steps = self.steps()
        for step in reversed(steps):
            state, difference, reason = None, "", ""
            beside: dict[str, Any] = {}
            try:
                beside = self.checkpointer.checkpointables_metadata(step).custom_metadata or {}
                if "checksums" not in beside:
                    raise CheckpointError("its metadata is missing")
                difference = _difference(beside.get("leaves", _leaves(like)), _leaves(like))
                state = None if difference else self._read(step, like, beside["checksums"])
            except Exception as error:  # a damaged file surfaces as any of many library errors
                reason = _reason(error)
            if not hosts.agree(not reason):
                self.damaged.append(step)
                self.report(f"checkpoint {step} is damaged ({reason or 'on another host'}); trying the one before")
                continue
            if difference:
                raise CheckpointError(f"checkpoint {step} in {self.directory} holds another state: {difference}")
            return Restored(state, beside["extra"], step)
        if steps:
            self.damaged = []  # nothing is moved away while nothing better is known
            raise CheckpointError(f"none of the checkpoints {steps} in {self.directory} can be read")
        return None

    def _read(self, step: int, like: PyTree, expected: list[int]) -> PyTree:
        abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), like)
        state = self.checkpointer.load_checkpointables(step, {"state": abstract})["state"]
        if jax.device_get(checksums(state)).tolist() != list(expected):
            raise CheckpointError("its arrays are not those that were saved")
        return state

    def _make_room(self) -> None:
        """Before the first save: half-written folders of a killed process go, damaged checkpoints to <workdir>/damaged.

        Only who saves may do so: what looks half-written to a reader is being written by somebody.
        """
        self.checkpointer.close()
        hosts.in_turn(self._set_aside)
        self.damaged, self.writing = [], True
        self.checkpointer = self._open()

    def _set_aside(self) -> None:
        for step in self.damaged if hosts.first() else []:
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
