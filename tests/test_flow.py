"""Adaptive solves of the probability flow where the answer is known, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import flow, toy
from jaxdiff import sde as sdes

SDES = {"vp": sdes.vp(), "subvp": sdes.subvp(), "ve": sdes.ve(sigma_max=20.0)}
all_sdes = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
MIXTURE = toy.mixture([[-1.0, 0.3], [0.6, -0.5]], [0.4, 0.6], 0.09)


def score(sde, x, t):
    """The mixture's, in native coordinates, which keeps its digits at small t."""
    t = jnp.asarray(t, x.dtype)
    return toy.score(MIXTURE, x / sde.a(t), sde.std(t) / sde.a(t)) / sde.a(t)


@all_sdes
def test_encode_and_decode_come_back_in_float32(sde):
    """Within 1e-4 at rtol 1e-5."""
    x = toy.sample(MIXTURE, jax.random.key(0), 16)
    tolerance = flow.Tolerance(1e-5, 2e-6, solver=flow.diffrax.Dopri8())
    there = jax.jit(lambda x: flow.solve(sde, partial(score, sde), x, 1e-3, 1.0, tolerance))(x)
    back = jax.jit(lambda x: flow.solve(sde, partial(score, sde), x, 1.0, 1e-3, tolerance))(there.x)
    assert bool(jnp.all(there.solved & back.solved))
    assert float(jnp.max(jnp.abs(back.x - x))) < 1e-4


@all_sdes
def test_likelihood_is_the_closed_form(sde, x64):
    """Within 1e-4 nats a dimension, once the prior is the mixture's own density at t = 1."""
    x = toy.sample(MIXTURE, jax.random.key(0), 32).astype(jnp.float64)
    tolerance = flow.Tolerance(1e-7, 1e-7)
    run = jax.jit(lambda x: flow.log_likelihood(sde, partial(score, sde), x, flow.exact, tolerance=tolerance))
    found = run(x)

    def density(x, t):
        return toy.log_density(MIXTURE, x / sde.a(t), sde.std(t) / sde.a(t)) - 2 * np.log(sde.a(t))

    np.testing.assert_allclose(density(found.z, 1.0) + found.change, density(x, 1e-5), atol=2e-4)


def test_hutchinson_is_unbiased(x64):
    """Over 1,000 points, one probe each: within 3 standard errors of the exact divergence."""
    sde = SDES["vp"]
    x = toy.sample(MIXTURE, jax.random.key(0), 1_000).astype(jnp.float64)
    probes = jax.random.rademacher(jax.random.key(1), (1_000, 1, 2), jnp.float64)
    run = jax.jit(lambda divergence, x: flow.log_likelihood(sde, partial(score, sde), x, divergence, probes).change,
                  static_argnums=0)  # fmt: skip
    difference = np.asarray(run(flow.hutchinson, x) - run(flow.exact, x))
    assert difference.std() > 0
    assert abs(difference.mean()) < 3 * difference.std() / 1_000**0.5


def test_an_example_does_not_depend_on_its_batch():
    sde, x = SDES["ve"], 20 * jax.random.normal(jax.random.key(0), (6, 2))
    run = jax.jit(lambda x: flow.solve(sde, partial(score, sde), x, 1.0, 1e-3))
    many, few = run(x), run(x[:2])
    np.testing.assert_allclose(many.x[:2], few.x, rtol=1e-5, atol=1e-5)
    assert many.num_evaluations[:2].tolist() == few.num_evaluations.tolist()


def test_bits_of_grey_levels():
    """A density that is constant on every bin costs what its masses do."""
    masses = np.array([0.1, 0.2, 0.3, 0.4])
    uniform = jax.random.uniform(jax.random.key(0), (4,))
    x = flow.dequantize(jnp.arange(4), uniform, levels=4)
    assert np.all((np.asarray(x) >= -1) & (np.asarray(x) < 1))
    density = masses[((np.asarray(x) + 1) * 2).astype(int)] / 0.5
    bits = flow.density_bits_per_dim(np.log(density), 1, levels=4)
    np.testing.assert_allclose(bits, -np.log2(masses), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.0), "times must lie in"),
        ((1.5, 0.1), "times must lie in"),
        ((1.0, 0.1, flow.Tolerance(rtol=1e-9)), "rtol=1e-09 is below what float32 can meet: ask for 1.2e-06 or more"),
        ((1.0, 0.1, flow.Tolerance(atol=0.0)), "atol=0.0 is below what float32 can meet"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        flow.solve(SDES["vp"], lambda x, t: -x, jnp.ones((1, 2)), *arguments)


def test_a_solver_that_stops_says_so():

    def stiff(x, t):
        """The second number says how stiff the first is."""
        return -jnp.concatenate([jnp.where(x[:, 1:] > 0, 1e4, 1.0), jnp.ones_like(x[:, 1:])], axis=1) * x

    x = jnp.array([[1.0, -1.0], [1.0, 1.0]])
    with pytest.raises(flow.SolverStopped, match=r"limit of steps for examples \[1\]"):
        flow.solve(SDES["vp"], stiff, x, 1.0, 0.5, flow.Tolerance(max_steps=64))


def test_wrong_probes():
    x = jnp.ones((2, 3))
    with pytest.raises(ValueError, match="probes must be"):
        flow.log_likelihood(SDES["vp"], lambda x, t: -x, x, flow.hutchinson, x)
