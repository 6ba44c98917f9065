"""Read a checkpoint by Orbax v1, the whole state or a part of it, and compare every array with its checksum."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.train.checksums import checksums, describe_leaves
from jaxdiff.types import PyTree

try:
    from orbax.checkpoint import v1 as ocp  # its final place
except ImportError:
    from orbax.checkpoint.experimental import v1 as ocp


class CheckpointError(ValueError):
    """No checkpoint could be read, or none that fits."""


def reason(error: BaseException) -> str:
    """Return the first line of what went wrong first; Orbax wraps it several times.

    Example:
      >>> try:
      ...     raise OSError("outer") from ValueError("inner")
      ... except OSError as error:
      ...     reason(error)
      'inner'
    """
    while cause := error.__cause__ or error.__context__:
        error = cause
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def read(checkpointer: Any, step: int, like: PyTree, expected: Sequence[int], partial: bool = False) -> PyTree:
    """Read the arrays of one checkpoint.

    Args:
      checkpointer: of Orbax; step: of the checkpoint.
      like: arrays of the same shapes, whose shardings are taken; NumPy's give NumPy's.
      expected: their checksums; partial: whether the checkpoint holds more than `like`.
    Raises: CheckpointError when the arrays are not those that were saved; any error of Orbax.
    Example: of no checkpoint
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     try:
      ...         read(ocp.training.Checkpointer(folder), 3, {}, [])
      ...     except Exception as error:
      ...         print("none")
      none
    """
    struct = lambda a: a if isinstance(a, np.ndarray) else jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding)  # noqa: E731
    context = ocp.Context()
    context.pytree.loading.partial_load = partial
    with context:
        state = checkpointer.load_checkpointables(step, {"state": jax.tree.map(struct, like)})["state"]
    if jax.device_get(checksums(state)).tolist() != list(expected):
        raise CheckpointError("its arrays are not those that were saved")
    return state


def part(leaves: list[list[Any]], sums: Sequence[int], like: PyTree) -> tuple[list[list[Any]], list[int]]:
    """Return the leaves of a checkpoint, and their checksums, that a part of its state has too, in the part's order.

    Args:
      leaves, sums: of the checkpoint, from `checksums.describe_leaves` and `checksums.checksums`.
      like: some of the state's entries, as a dict by their names.
    Example:
      >>> part([["a/w", [2], "float32"], ["b", [], "int32"]], [7, 9], {"b": np.zeros((), np.int32)})
      ([['b', [], 'int32']], [9])
    """
    saved = {leaf[0]: (leaf, total) for leaf, total in zip(leaves, sums, strict=True)}
    found = [saved[name] for name, *_ in describe_leaves(like) if name in saved]
    return [leaf for leaf, _ in found], [total for _, total in found]


def outline(leaves: list[list[Any]], name: str) -> dict[str, Any]:
    """Return nested dicts of one entry of a state, {name: {...}}, of arrays without memory of their own.

    Args:
      leaves: of the checkpoint; name: of the entry, such as "ema".
    Raises: CheckpointError when the state has no such entry.
    Example:
      >>> outline([["ema/a/w", [2], "float32"], ["step", [], "int32"]], "ema")["ema"]["a"]["w"].shape
      (2,)
    """
    found: dict[str, Any] = {}
    for path, shape, dtype in leaves:
        *parents, last = path.split("/")
        if (parents or [last])[0] != name:
            continue
        into = found
        for parent in parents:
            into = into.setdefault(parent, {})
        into[last] = np.broadcast_to(np.zeros((), jnp.dtype(dtype)), shape)
    if not found:
        entries = dict.fromkeys(path.split("/")[0] for path, *_ in leaves)
        raise CheckpointError(f"it holds no {name}, only {', '.join(entries)}")
    return found
