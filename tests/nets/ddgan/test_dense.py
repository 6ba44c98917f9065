"""A dense generator is an MLP that sees examples flat: the same parameters, the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.ddgan import DenseGenerator
from jaxdiff.nets.ddgan.discriminator import leaky_relu
from jaxdiff.nets.mlp import MLP

OPTIONS = {"features": 12, "width": 5, "depth": 2, "activation": leaky_relu}


@pytest.mark.parametrize("tanh", [False, True])
def test_it_is_an_mlp_on_flat_examples(tanh):
    x, t, latent = jax.random.normal(jax.random.key(0), (4, 2, 2, 3)), jnp.arange(4.0), jnp.ones((4, 7))
    flat = x.reshape(4, -1)
    dense, mlp = DenseGenerator(**OPTIONS, tanh=tanh), MLP(**OPTIONS)
    params = jax.jit(mlp.init)(jax.random.key(1), t, flat, latent)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(dense.init)(jax.random.key(1), x, t, latent), params)
    expected = jax.jit(mlp.apply)(params, t, flat, latent)
    expected = jnp.tanh(expected) if tanh else expected
    np.testing.assert_allclose(jax.jit(dense.apply)(params, x, t, latent), expected.reshape(x.shape), rtol=1e-6)


def test_an_example_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"an example must have 12 numbers for this network, got \[2, 2\]"):
        jax.eval_shape(
            DenseGenerator(**OPTIONS).init, jax.random.key(0), jnp.ones((1, 2, 2)), jnp.ones(1), jnp.ones((1, 1))
        )
