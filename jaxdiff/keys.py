"""Random keys from seeds and indices: the same draws on every machine and in every batch.

JAX lets its default generator be chosen (JAX_DEFAULT_PRNG_IMPL, jax_default_prng_impl). Draws of "rbg" and "unsafe_rbg"
under `jax.vmap` depend on the size of the batch and on the compiler, so that a seed no longer names an image. Wherever
a seed or an index names something, the generator is threefry, whatever the default is.
"""

import jax
import jax.numpy as jnp

from jaxdiff.types import ArrayLike, Key

__all__ = ["GENERATOR", "as_threefry", "from_seed"]

GENERATOR = "threefry2x32"


def from_seed(seed: ArrayLike) -> Key:
    """Make the key of a seed, as `jax.random.key` does, for the generator whose draws do not depend on the batch.

    Example:
      >>> str(jax.random.key_impl(from_seed(0)))
      'threefry2x32'
    """
    return jax.random.key(seed, impl=GENERATOR)


def as_threefry(key: Key) -> Key:
    """Convert a key of any generator, or raw words as `jax.random.PRNGKey` makes them, to a key for threefry.

    `as_threefry(jax.random.key(seed))` is `from_seed(seed)` whatever the default generator is.

    Args:
      key: typed [...], or words uint32 [..., 2] or [..., 4].
    Returns: typed, [...].
    Example:
      >>> bool(as_threefry(jax.random.key(3, impl="rbg")) == from_seed(3))
      True
    """
    words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return jax.random.wrap_key_data(words[..., :2], impl=GENERATOR)  # rbg's words are a threefry key, twice
