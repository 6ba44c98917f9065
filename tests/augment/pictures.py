"""Pictures and draws that the tests of augmentation share."""

import jax
import jax.numpy as jnp

from jaxdiff.augment import Config, Draw, Draws, apply, augment

ALL = Config(p=0.7, **dict.fromkeys(Draws._fields, 1.0))
KEY = jax.random.key(0)
run = jax.jit(augment, static_argnums=2)  # slow op by op; that jit is the same has its own test
run_draws = jax.jit(apply, static_argnums=0)


def pictures(batch=4, height=12, width=12, channels=3, dtype=jnp.float32):
    return jax.random.uniform(jax.random.key(7), (batch, height, width, channels), dtype, -1, 1)


def always(w, **rest):
    """A draw for which the gate is open."""
    w = jnp.asarray(w)
    return Draw(w, jnp.zeros(w.shape[0]), **rest)
