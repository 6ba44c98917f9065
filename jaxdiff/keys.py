"""Keys of named numbers: what a seed or an index stands for is the same on every machine and in every batch.

JAX lets its default generator be chosen (JAX_DEFAULT_PRNG_IMPL, jax_default_prng_impl). Draws of "rbg" and "unsafe_rbg"
under `jax.vmap` depend on the size of the batch, and on the compiler: a seed no longer names an image. So where a seed
or an index names something the generator is threefry, whatever the default is.
"""

import jax
import jax.numpy as jnp

from jaxdiff.types import ArrayLike, Key

GENERATOR = "threefry2x32"


def of_seed(seed: ArrayLike) -> Key:
    """The key of a seed, as `jax.random.key`, from the generator whose draws do not depend on the batch.

    Example:
      >>> str(jax.random.key_impl(of_seed(0)))
      'threefry2x32'
    """
    return jax.random.key(seed, impl=GENERATOR)


def named(key: Key) -> Key:
    """The same key, or keys, for that generator, from any generator's and from raw words as `jax.random.PRNGKey` has.

    That of `jax.random.key(seed)` is `of_seed(seed)` whatever the default generator is.

    Args:
      key: typed [...], or words uint32 [..., 2] or [..., 4].
    Returns: typed, [...].
    Example:
      >>> bool(named(jax.random.key(3, impl="rbg")) == of_seed(3))
      True
    """
    words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return jax.random.wrap_key_data(words[..., :2], impl=GENERATOR)  # rbg's words are a threefry key, twice
