"""Distances: gradients where they are delicate, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.losses import distances


def test_pseudo_huber_keeps_its_digits_and_its_gradient():
    """|x - y| far below c in float32: d = |x - y|^2 / (2 c), where the difference of roots would be 0."""
    x, y = jnp.full((1, 4), 1e-6), jnp.zeros((1, 4))
    np.testing.assert_allclose(distances.pseudo_huber(x, y, 1.0), 2e-12, rtol=1e-5)
    for c in (0.0, 0.03):
        assert np.all(jax.grad(lambda x, c=c: jnp.sum(distances.pseudo_huber(x, x0, c)))(x0 := jnp.ones((2, 3))) == 0)


def test_linf_s_gradient_survives_compilation(x64):
    """d max|x - y| / dx is one signed unit vector an example, in whatever fusion x - y is computed again."""
    x, y = (jax.random.normal(key, (64, 48)) for key in jax.random.split(jax.random.key(0)))
    gradient = jax.jit(jax.grad(lambda w: jnp.sum(distances.linf(jnp.tanh(w * x), w * y))))
    expected = jax.grad(lambda w: jnp.sum(distances.linf(jnp.tanh(w * x), w * y)))
    np.testing.assert_allclose(gradient(0.7), expected(0.7), rtol=1e-12)


def test_resized_agrees_at_its_own_size(x64):
    x, y = (jax.random.normal(key, (2, 8, 8, 3)) for key in jax.random.split(jax.random.key(0)))
    np.testing.assert_allclose(distances.resized(distances.l2, 8)(x, y), distances.l2(x, y), rtol=1e-12)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: distances.pseudo_huber(jnp.ones((1, 2)), jnp.ones((1, 2)), -1.0), "c must be >= 0, got -1.0"),
        (lambda: distances.l2(jnp.ones((1, 2)), jnp.ones((2, 2))), "same shape"),
        (lambda: distances.resized(distances.l2, 0), "size must be at least 1"),
        (lambda: distances.resized(distances.l2, 4)(jnp.ones((1, 2)), jnp.ones((1, 2))), r"images must be \[B, H, W"),
    ],
)
def test_bad_input(run, message):
    with pytest.raises(ValueError, match=message):
        run()
