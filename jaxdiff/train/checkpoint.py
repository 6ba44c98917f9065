"""Checkpoints by Orbax v1: train state, data iterator and config together, with a checksum of every array.

The only file that imports Orbax. Saving is asynchronous and atomic; what cannot be read back is reported, set aside and
never deleted.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
        words = bits.reshape(-1).astype(jnp.uint32)
        return jnp.sum(words * (2 * jnp.arange(words.size, dtype=jnp.uint32) + 1), dtype=jnp.uint32)

    return jnp.stack([one(leaf) for leaf in jax.tree.leaves(tree)])


class Checkpoints:
    """The checkpoints of one run, under `<workdir>/checkpoints/<step>`.

    Args:
      workdir: folder of the run.
      keep_last: how many of the newest to keep, >= 1.
      report: is told in one line of every checkpoint that cannot be read.
    """

    def __init__(self, workdir: Path, keep_last: int = 3, report: Callable[[str], None] = print):
        if keep_last < 1:
            raise ValueError(f"keep_last must be at least 1, got {keep_last}")
        policies = ocp.training.preservation_policies
        self.directory = Path(workdir).absolute() / "checkpoints"
        self.report = report
        self.pending: Any = None
        self._open = lambda: ocp.training.Checkpointer(
            self.directory,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=policies.LatestN(keep_last),
            cleanup_tmp_directories=True,
        )
        self.checkpointer = self._open()

    def steps(self) -> list[int]:
        """Steps of the checkpoints that were saved whole, oldest first."""
        return sorted(int(found.step) for found in self.checkpointer.checkpoints)

    def save(self, step: int, state: PyTree, extra: dict[str, Any]) -> None:
        """Start to save; waits first for the save before this one.

        Args:
          step: names the folder.
          state: pytree of arrays.
          extra: JSON values, such as the position of the data iterator.
        Raises: OSError when the save before this one failed.
        """
        self.wait()
        beside = {"extra": extra, "checksums": np.asarray(checksums(state)).tolist()}
        self.pending = self.checkpointer.save_checkpointables_async(
            step, {"state": state}, custom_metadata=beside, force=True
        )

    def wait(self) -> None:
        """Until the last save is on the disk; raises OSError when it could not be written."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        try:
            pending.result()
        except Exception as error:  # Orbax's threads raise whatever the file system layer raised
            raise OSError(f"a checkpoint could not be written to {self.directory}: {error}") from error

    def restore(self, like: PyTree) -> Restored | None:
        """The newest checkpoint that can be read, or None where there is none at all.

        Args:
          like: a state of the same shapes, whose shardings the arrays will have.
        Raises: CheckpointError when there are checkpoints, but none can be read.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                restored = self._read(step, like)
            except Exception as error:  # a damaged file surfaces as any of many library errors
                self._set_aside(step, error)
                continue
            return restored
        if steps:
            raise CheckpointError(f"none of the checkpoints {steps} in {self.directory} can be read")
        return None

    def _read(self, step: int, like: PyTree) -> Restored:
        abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), like)
        beside = self.checkpointer.checkpointables_metadata(step).custom_metadata
        state = self.checkpointer.load_checkpointables(step, {"state": abstract})["state"]
        if np.asarray(checksums(state)).tolist() != list(beside["checksums"]):
            raise CheckpointError("its arrays are not those that were saved")
        return Restored(state, beside["extra"], step)

    def _set_aside(self, step: int, error: Exception) -> None:
        """Move a damaged checkpoint to <workdir>/damaged, where it is in nobody's way and not lost."""
        damaged = self.directory.parent / "damaged"
        damaged.mkdir(exist_ok=True)
        target = damaged / str(step)
        while target.exists():
            target = target.with_name(target.name + "_")
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        self.report(
            f"checkpoint {step} is damaged ({reason}); moved to {os.path.relpath(target)}, trying the one before"
        )
        self.checkpointer.close()
        shutil.move(self.directory / str(step), target)
        self.checkpointer = self._open()

    def close(self) -> None:
        """Finish what is being written and let go."""
        self.wait()
        self.checkpointer.close()
