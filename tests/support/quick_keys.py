"""Random numbers that compile fast: a fresh network's program is mostly threefry, once or twice a parameter.

Where a test looks at how parameters are spread, or needs any that are not all alike, these keys are as good.
"""

import contextlib
import math

import jax
import jax.numpy as jnp
import pytest
from jax.extend.random import define_prng_impl

from jaxdiff.train import fully_sharded


def _mix(x):
    """The finaliser of MurmurHash3: every bit of x reaches every bit."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def _fold_in(key, data):
    return _mix(key * jnp.uint32(0x9E3779B1) + _mix(data.astype(jnp.uint32)))


def _bits(key, bit_width, shape):
    count = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    assert bit_width <= 32, "parameters are float32"
    return _mix(_mix(count + key[0]) ^ key[1]).astype(f"uint{bit_width}")


def _split(key, shape):
    count = jax.lax.iota(jnp.uint32, math.prod(shape))
    return jax.vmap(_fold_in, (None, 0))(key, count).reshape(*shape, 2)


QUICK = define_prng_impl(
    key_shape=(2,),
    seed=lambda seed: _fold_in(jnp.array([1, 2], jnp.uint32), seed),
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,
    name="quick",
    tag="quick",
)


def key(seed=0):
    """As jax.random.key."""
    return jax.random.key(seed, impl=QUICK)


@contextlib.contextmanager
def initialisation():
    """Within it the experiments' networks begin from such a key instead of their seed's."""
    init_sharded = fully_sharded.init_sharded
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fully_sharded, "init_sharded", lambda mesh, create, _: init_sharded(mesh, create, key()))
        yield
