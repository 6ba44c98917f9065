"""Fingerprints of a state: the name, shape and type of every array, and a checksum of each."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, PyTree


@jax.jit
def checksums(tree: PyTree) -> Array:
    """Compute one uint32 per leaf: sum over its words w_i of w_i (2 i + 1), modulo 2^32.

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


def checksum(array: np.ndarray) -> int:
    """Compute the checksum of one array on the host, that of `checksums`.

    Example:
      >>> x = jnp.arange(6.0).reshape(2, 3)
      >>> checksum(np.asarray(x)) == int(checksums([x])[0])
      True
    """
    words = np.ascontiguousarray(array).reshape(-1).view(f"uint{8 * min(array.dtype.itemsize, 4)}").astype(np.uint32)
    return int(np.sum(words * (2 * np.arange(words.size, dtype=np.uint32) + 1), dtype=np.uint32))


def describe_leaves(tree: PyTree) -> list[list[Any]]:
    """List name, shape and type of every leaf, as JSON.

    Example:
      >>> describe_leaves({"w": jnp.zeros((2, 3))})
      [['w', [2, 3], 'float32']]
    """
    named = jax.tree_util.tree_leaves_with_path(tree)
    return [[jax.tree_util.keystr(path, simple=True, separator="/"), list(a.shape), str(a.dtype)] for path, a in named]


def describe_difference(saved: list[list[Any]], wanted: list[list[Any]]) -> str:
    """Describe the first leaf in which two states differ, in words; empty where they agree.

    Args:
      saved, wanted: from `describe_leaves`, of a checkpoint and of what it is read into.
    Example:
      >>> describe_difference(*map(describe_leaves, ({"w": jnp.zeros(2)}, {"w": jnp.zeros(3)})))
      'w is float32[2] in the checkpoint and float32[3] here'
    """
    stored, here = ({name: f"{dtype}{shape}" for name, shape, dtype in leaves} for leaves in (saved, wanted))
    for name in dict.fromkeys([*stored, *here]):
        if stored.get(name) != here.get(name):
            return f"{name} is {stored.get(name, 'absent')} in the checkpoint and {here.get(name, 'absent')} here"
    return ""
