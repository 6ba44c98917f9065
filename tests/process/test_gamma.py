"""Schedules of variational diffusion models: where they start, that they increase, and what they refuse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.process.gamma import FixedLinear, LearnedLinear, Monotone, with_endpoints

T = np.linspace(0, 1, 33)


def test_learned_line_starts_as_the_fixed_one():
    fixed, learned = FixedLinear(-8.0, 3.0), LearnedLinear(-8.0, 3.0)
    np.testing.assert_allclose(learned.apply(learned.init(jax.random.key(0), T), T), fixed.apply({}, T), rtol=1e-6)


@pytest.mark.parametrize(
    "module", [FixedLinear(), LearnedLinear(), Monotone(features=16)], ids=lambda m: type(m).__name__
)
def test_gamma_increases_whatever_the_signs_of_its_parameters(module, x64):
    like = jax.eval_shape(module.init, jax.random.key(0), T)
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(jax.random.key(1), max(len(leaves), 1))
    params = structure.unflatten([3 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=False)])
    run = jax.jit(module.apply)
    gamma, slope = jax.jvp(partial(run, params), (T,), (np.ones_like(T),))
    assert gamma.shape == T.shape
    assert np.all(np.diff(gamma) > 0)
    step = 1e-6
    central = (run(params, T + step) - run(params, T - step)) / (2 * step)
    np.testing.assert_allclose(slope, central, rtol=1e-6)
    pinned = with_endpoints(partial(run, params), -2.0, 1.0)
    np.testing.assert_allclose(pinned(jnp.array([0.0, 1.0])), [-2, 1], atol=1e-12)


@pytest.mark.parametrize("module", [FixedLinear, LearnedLinear, Monotone])
def test_an_empty_range_is_refused(module):
    with pytest.raises(ValueError, match="gamma_min must be below gamma_max"):
        module(5.0, 5.0).init(jax.random.key(0), 0.5)
