"""Adaptive solves of the probability flow where the answer is known, and what is refused."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, likelihood, losses, probability_flow, process
from jaxdiff.samplers import adaptive_ode, heun, sample
from jaxdiff.types import expand

SDES = {"vp": process.sde.vp(), "subvp": process.sde.subvp(), "ve": process.sde.ve(sigma_max=20.0)}


def all_sdes(first):
    """One in the default tier, another from test to test, and the others in the full one."""
    marks = {name: () if name == first else pytest.mark.full for name in SDES}
    return pytest.mark.parametrize("sde", [pytest.param(SDES[name], id=name, marks=marks[name]) for name in SDES])


MIXTURE = gaussian_mixture.mixture([[-1.0, 0.3], [0.6, -0.5]], [0.4, 0.6], 0.09)


def score(sde, x, t):
    """The mixture's, in native coordinates, which avoids cancellation error at small t."""
    t = jnp.asarray(t, x.dtype)
    a = expand(sde.a(t), x)
    return gaussian_mixture.score(MIXTURE, x / a, sde.std(t) / sde.a(t)) / a


@all_sdes("ve")
def test_encode_and_decode_come_back_in_float32(sde):
    """Within 1e-4 at rtol 1e-5."""
    x = gaussian_mixture.sample(MIXTURE, jax.random.key(0), 16)
    tolerance = probability_flow.Tolerance(1e-5, 2e-6, solver=probability_flow.diffrax.Dopri8())

    @jax.jit
    def run(x):
        latent = probability_flow.solve(sde, partial(score, sde), x, 1e-3, 1.0, tolerance)
        return latent, probability_flow.solve(sde, partial(score, sde), latent.x, 1.0, 1e-3, tolerance)

    latent, decoded = run(x)
    assert bool(jnp.all(latent.solved & decoded.solved))
    assert float(jnp.max(jnp.abs(decoded.x - x))) < 1e-4


@all_sdes("subvp")
def test_the_flow_of_every_sde_is_the_one_of_sigma(sde, x64):
    """In x = x_t / a the three are one ODE: Heun's method in sigma, with steps to spare, gets to the same end."""
    sigmas = np.geomspace(*(float(sde.std(t) / sde.a(t)) for t in (np.asarray(1.0), np.asarray(1e-3))), 4_001)
    x = sigmas[0] * jax.random.normal(jax.random.key(0), (16, 2), jnp.float64)
    expected = jax.jit(lambda x: sample(heun(), partial(gaussian_mixture.denoiser, MIXTURE), x, sigmas))(x)
    tolerance = probability_flow.Tolerance(1e-8, 1e-8)
    run = jax.jit(lambda x: probability_flow.solve(sde, partial(score, sde), x, 1.0, 1e-3, tolerance))
    found = run(x * float(sde.a(np.asarray(1.0)))).x / float(sde.a(np.asarray(1e-3)))
    np.testing.assert_allclose(found, expected, atol=2e-5)


@all_sdes("vp")
def test_likelihood_is_the_closed_form(sde, x64):
    """Within 1e-4 nats a dimension, once the prior is the mixture's own density at t = 1."""
    x = gaussian_mixture.sample(MIXTURE, jax.random.key(0), 32).astype(jnp.float64)
    tolerance = probability_flow.Tolerance(1e-7, 1e-7)
    run = jax.jit(
        lambda x: likelihood.log_likelihood(sde, partial(score, sde), x, likelihood.exact, tolerance=tolerance)
    )
    found = run(x)

    def density(x, t):
        return gaussian_mixture.log_density(MIXTURE, x / sde.a(t), sde.std(t) / sde.a(t)) - 2 * np.log(sde.a(t))

    np.testing.assert_allclose(density(found.z, 1.0) + found.change, density(x, 1e-5), atol=2e-4)


def test_hutchinson_is_unbiased(x64):
    """Over 1,000 points, one probe each: within 3 standard errors of the exact divergence."""
    sde = SDES["vp"]
    x = gaussian_mixture.sample(MIXTURE, jax.random.key(0), 1_000).astype(jnp.float64)
    probes = jax.random.rademacher(jax.random.key(1), (1_000, 1, 2), jnp.float64)

    @jax.jit
    def run(x):
        both = (
            likelihood.log_likelihood(sde, partial(score, sde), x, by)
            for by in (likelihood.hutchinson(probes), likelihood.exact)
        )
        return [found.change for found in both]

    difference = np.subtract(*run(x))
    assert difference.std() > 0
    assert abs(difference.mean()) < 3 * difference.std() / 1_000**0.5


def test_an_example_does_not_depend_on_its_batch():
    sde, x = SDES["ve"], 20 * jax.random.normal(jax.random.key(0), (6, 2))
    run = jax.jit(lambda x: probability_flow.solve(sde, partial(score, sde), x, 1.0, 1e-3))
    many, few = run(x), run(x[:2])
    np.testing.assert_allclose(many.x[:2], few.x, rtol=1e-5, atol=1e-5)
    assert many.num_evaluations[:2].tolist() == few.num_evaluations.tolist()


def test_bits_of_grey_values():
    """A density that is constant on every bin costs what its masses do."""
    masses = np.array([0.1, 0.2, 0.3, 0.4])
    uniform = jax.random.uniform(jax.random.key(0), (4,))
    x = losses.bits.dequantize(jnp.arange(4), uniform, bins=4)
    assert np.all((np.asarray(x) >= -1) & (np.asarray(x) < 1))
    density = masses[((np.asarray(x) + 1) * 2).astype(int)] / 0.5
    bits = losses.bits.density_bits_per_dim(np.log(density), 1, bins=4)
    np.testing.assert_allclose(bits, -np.log2(masses), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.0), "times must lie in"),
        ((1.5, 0.1), "times must lie in"),
        (
            (1.0, 0.1, probability_flow.Tolerance(rtol=1e-9)),
            "rtol=1e-09 is below what float32 can meet: ask for 1.2e-06 or more",
        ),
        ((1.0, 0.1, probability_flow.Tolerance(atol=0.0)), "atol=0.0 is below what float32 can meet"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        probability_flow.solve(SDES["vp"], lambda x, t: -x, jnp.ones((1, 2)), *arguments)


def test_a_solver_that_stops_says_so():

    def stiff(x, t):
        """The second number says how stiff the first is."""
        return -jnp.concatenate([jnp.where(x[:, 1:] > 0, 1e4, 1.0), jnp.ones_like(x[:, 1:])], axis=1) * x

    x = jnp.array([[1.0, -1.0], [1.0, 1.0]])
    with pytest.raises(probability_flow.SolverStopped, match=r"limit of steps for examples \[1\]"):
        probability_flow.solve(SDES["vp"], stiff, x, 1.0, 0.5, probability_flow.Tolerance(max_steps=64))


def test_wrong_probes():
    x = jnp.ones((2, 3))
    with pytest.raises(ValueError, match="probes must be"):
        likelihood.log_likelihood(SDES["vp"], lambda x, t: -x, x, likelihood.hutchinson(x))


def test_a_likelihood_of_a_network_in_train_mode_is_refused():
    """Whatever draws random numbers is no one function; a network at rest, or without dropout, is."""
    net = nn.Sequential([nn.Dense(2), nn.Dropout(0.5, deterministic=False)])
    params = net.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, jnp.ones((1, 2)))
    training = lambda x, t: net.apply(params, x, rngs={"dropout": jax.random.key(2)})  # noqa: E731
    with pytest.raises(ValueError, match="in train mode, with dropout on"):
        likelihood.log_likelihood(SDES["vp"], training, jnp.ones((2, 2)), likelihood.exact)


@all_sdes("subvp")
def test_the_adaptive_sampler_is_the_flow(sde):
    """The same end as `solve`, then the denoised image; NaN where it did not get there."""
    x = process.sde.grid(sde, 2)[0] * jax.random.normal(jax.random.key(0), (8, 2))
    denoise = partial(gaussian_mixture.denoiser, MIXTURE)
    sigmas = process.sde.grid(sde, 2)
    a = sde.a(np.array([1.0, 1e-3]))

    @jax.jit
    def run(x):
        found = sample(adaptive_ode.adaptive(sde), denoise, x, sigmas)
        solved = probability_flow.solve(sde, partial(score, sde), a[0] * x, 1.0, 1e-3)
        return found, solved.solved, denoise(solved.x / a[1], jnp.asarray(sigmas[1], x.dtype))

    found, solved, expected = run(x)
    assert bool(jnp.all(solved))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    stopped = jax.jit(
        lambda x: sample(adaptive_ode.adaptive(sde, probability_flow.Tolerance(max_steps=2)), denoise, x, sigmas)
    )(x)
    assert bool(jnp.all(jnp.isnan(stopped)))


def test_every_example_has_its_own_condition():
    """Scores are asked of whole batches, so that what they were given of every example stays in order."""
    means = jnp.array([[-3.0], [5.0], [9.0]])
    x = jax.random.normal(jax.random.key(0), (3, 1))
    a = SDES["vp"].a
    conditional = lambda x, t: expand(a(t), x) * means - x  # noqa: E731  # a unit variance stays one
    found = jax.jit(lambda x: probability_flow.solve(SDES["vp"], conditional, x, 1.0, 1e-5))(x)
    assert bool(jnp.all(found.solved))
    np.testing.assert_allclose(found.x, x + means * (a(1e-5) - a(1.0)), atol=1e-3)
