"""Seeds and indices name their draws whatever JAX's default generator is."""

import ast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.harness import generate
from experiments.harness.forms import IMAGES
from jaxdiff import augment, grids, keys
from jaxdiff.samplers import churn, euler, sample
from tests.support.commands import ROOT

IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg")
GRID = grids.karras(3)


class Exact:
    """A system without a network, of data ~ N(0, 1)."""

    form = IMAGES
    shape, num_classes = (3, 3, 1), 0

    def denoiser(self, params, labels):
        return lambda x, sigma: x / (1 + sigma**2)


def images(batch_size):
    request = generate.Request(churn(euler(), 5.0), GRID, np.arange(8), None, batch_size)
    return np.concatenate(list(generate.draw(Exact(), (), request, progress=False)))


def sampled(batch_size, key):
    return sample(churn(euler(), 5.0), Exact().denoiser((), None), 80 * jnp.ones((batch_size, 2)), GRID, key=key)


def augmented(batch_size, key):
    return jax.tree.leaves(augment.draw(key, batch_size, augment.Config(xflip=1, hue=1, translate_frac=1)))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_seeds_name_images(implementation):
    expected = images(8)
    assert len(np.unique(expected.reshape(8, -1), axis=0)) == 8
    with jax.default_prng_impl(implementation):
        for batch_size in (2, 4, 8):
            np.testing.assert_array_equal(images(batch_size), expected)


def test_seeds_name_images_under_x64(x64):
    jax.config.update("jax_enable_x64", False)
    expected = images(4)
    jax.config.update("jax_enable_x64", True)
    np.testing.assert_array_equal(images(4), expected)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey], ids=["key", "words"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_indices_name_draws(implementation, make):
    expected = sampled(4, keys.from_seed(5)), augmented(4, keys.from_seed(5))
    with jax.default_prng_impl(implementation):
        np.testing.assert_array_equal(sampled(4, make(5)), expected[0])
        np.testing.assert_array_equal(sampled(2, make(5)), expected[0][:2])
        for size in (2, 4):
            for found, all_of_them in zip(augmented(size, make(5)), expected[1], strict=True):
                np.testing.assert_array_equal(found, all_of_them[:size])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS[1:])
def test_a_key_of_one_s_own_names_draws_too(implementation):
    key = jax.random.fold_in(jax.random.split(jax.random.key(5, impl=implementation))[1], 7)
    np.testing.assert_array_equal(sampled(2, key), sampled(4, key)[:2])


def test_no_seed_is_left_to_the_default_generator():
    """In the text of the library and of the experiments; examples of docstrings are users' own."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("jaxdiff", "experiments")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("jax.random.key", "random.key", "jax.random.PRNGKey")
        if path.name != "keys.py"
    ]
    assert not bare
