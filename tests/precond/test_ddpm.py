"""DDPM's chain: four predictions are one denoiser, samplers that are each other's special case, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, guidance, precond, predictions, process
from jaxdiff.losses import ddpm
from jaxdiff.process import respacing, reverse_kernel
from jaxdiff.samplers import ancestral, ddim, encode, euler, sample
from jaxdiff.types import expand

BETAS = respacing.respace(process.betas.cosine(1000), respacing.space(1000, "60"))
GRID = process.betas.sigmas(BETAS)
MIXTURE = gaussian_mixture.mixture([[-1.0, 0.3], [0.6, -0.5]], [0.5, 0.5], [0.04, 0.02])
NAMES = ("eps", "x0", "v", "mu")


def exact(x, sigma):
    return gaussian_mixture.denoiser(MIXTURE, x, sigma)


def network(name):
    """The exact network of a prediction, in float32: x_t and a step in, the prediction out."""
    levels = jnp.asarray(GRID[::-1], jnp.float32)

    def apply_fn(params, x_t, t):
        t = t.astype(int)
        sigma, below = levels[t + 1], levels[t]
        x = x_t * jnp.sqrt(1 + expand(sigma, x_t) ** 2)
        x0 = exact(x, sigma)
        return {
            "eps": lambda: predictions.from_x0(predictions.eps, x0, x, sigma),
            "x0": lambda: x0,
            "v": lambda: predictions.from_x0(predictions.v, x0, x, sigma),
            "mu": lambda: process.posterior.mean(x0, x, sigma, below) / jnp.sqrt(1 + expand(below, x) ** 2),
        }[name]()

    return apply_fn


@pytest.mark.parametrize(
    "sampler", [ancestral(), ancestral(reverse_kernel.fixed(reverse_kernel.large)), ddim(0.3), euler()]
)
def test_every_prediction_gives_the_same_samples(sampler):
    """From the same noise to 1e-5, in float32, from sigma = 20 down: above, x - sigma eps has cancellation error."""
    grid = GRID[np.searchsorted(-GRID, -20.0) :]
    x = grid[0] * jax.random.normal(jax.random.key(0), (16, 2))
    denoisers = [precond.denoiser(network(name), None, getattr(precond.ddpm, name)(BETAS)) for name in NAMES]
    found = jax.jit(lambda x, key: [sample(sampler, d, x, grid, key=key) for d in denoisers])(x, jax.random.key(1))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_raw_target_is_what_the_exact_network_returns_for_a_point(name, x64):
    """For data that are one point D = x0, so that F must be the target."""
    parametrisation, x0 = getattr(precond.ddpm, name)(BETAS), jnp.full((5, 2), 0.3)
    t = jnp.array([0, 1, 20, 40, 59])
    sigma, noise = jnp.asarray(GRID[::-1])[t + 1], jax.random.normal(jax.random.key(0), (5, 2))
    x = x0 + sigma[:, None] * noise
    target = ddpm.raw_target(parametrisation, x0, sigma, noise)
    denoise = precond.denoiser(lambda params, x, c_noise: target, None, parametrisation)
    np.testing.assert_allclose(denoise(x, sigma), x0, atol=1e-9)
    assert ddpm.simple_loss(target, parametrisation, x0, sigma, noise).tolist() == [0.0] * 5


def test_special_cases(x64):
    x = GRID[0] * jax.random.normal(jax.random.key(0), (8, 2), jnp.float64)
    ranged = lambda x, sigma: (exact(x, sigma), 0 * x - 1)  # noqa: E731

    @jax.jit
    def run(x, key):
        plain = [sample(sampler, exact, x, GRID, key=key) for sampler in (ddim(0.0), euler(), ddim(1.0), ancestral())]
        return *plain, sample(ancestral(reverse_kernel.learned_range()), ranged, x, GRID, key=key)

    zero, ode, one, small, learned = run(x, jax.random.key(1))
    np.testing.assert_allclose(zero, ode, rtol=1e-12)
    np.testing.assert_allclose(one, small, rtol=1e-9)
    np.testing.assert_allclose(learned, small, rtol=1e-9)


def test_encoding_and_decoding_come_back(x64):
    """DDIM inversion: the round trip's error is of first order in the steps."""
    x = gaussian_mixture.sample(MIXTURE, jax.random.key(0), 32).astype(jnp.float64)
    errors = []
    for num_steps in (200, 400, 800):
        grid = np.geomspace(20, 0.01, num_steps)
        round_trip = jax.jit(lambda x, grid=grid: sample(euler(), exact, encode(exact, x, grid), grid))(x)
        errors.append(float(np.sqrt(np.mean((round_trip - x) ** 2))))
    slope = -np.polyfit(np.log([200, 400, 800]), np.log(errors), 1)[0]
    assert errors[-1] < 0.05
    assert 0.8 < slope < 1.5, errors


def test_classifier_guidance_turns_a_mixture_into_one_of_its_parts(x64):
    """Bayes: the denoiser of all data plus sigma^2 grad log p(y | x) is the denoiser of class y."""

    def log_prob(x, sigma):
        part = gaussian_mixture.mixture(MIXTURE.means[:1], variances=MIXTURE.variances[:1])
        return (
            jnp.log(0.5)
            + gaussian_mixture.log_density(part, x, sigma)
            - gaussian_mixture.log_density(MIXTURE, x, sigma)
        )

    guided = guidance.classifier_guide(exact, guidance.log_prob_gradient(log_prob))
    part, run = gaussian_mixture.mixture(MIXTURE.means[:1], variances=MIXTURE.variances[:1]), jax.jit(guided)
    x = jax.random.normal(jax.random.key(0), (16, 2), jnp.float64)
    for sigma in (0.1, 1.0, 10.0):
        np.testing.assert_allclose(run(x, jnp.array(sigma)), gaussian_mixture.denoiser(part, x, sigma), atol=1e-9)


def test_a_thousand_steps_are_one_compiled_step():
    """The program for 1,000 steps is that for 10: as many instructions, and no memory that grows with the steps."""

    def program(num_steps):
        grid = process.betas.sigmas(process.betas.cosine(num_steps))
        run = jax.jit(lambda x, key: sample(ancestral(), exact, x, grid, key=key))
        return run.lower(jnp.zeros((64, 2)), jax.random.key(0))

    short, long = program(10), program(1000)
    lines = [len(lowered.as_text().splitlines()) for lowered in (short, long)]
    assert lines[0] == lines[1]
    # The grid itself is a constant of the program.
    extra = (
        long.compile().memory_analysis().temp_size_in_bytes - short.compile().memory_analysis().temp_size_in_bytes
    )  # fmt: skip
    assert extra <= 990 * 64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: process.betas.check(np.array([0.1, 0.0])), "betas must lie between 0 and 1, but betas"),
        (lambda: process.betas.check(np.array([0.1, 1.2])), "betas must lie between 0 and 1, but betas"),
        (lambda: process.betas.check(np.array([1.0, 0.1])), "betas must lie between 0 and 1, but betas"),
        (lambda: process.betas.constant(3, np.nan), "betas must lie between 0 and 1, but betas"),
        (lambda: process.betas.linear(10), "betas must lie between 0 and 1, but betas"),
        (lambda: process.betas.sigmas(process.betas.linear(20)), "alpha_bar is 0 after 20 steps"),
        (lambda: precond.ddpm.eps(process.betas.linear(20)), "alpha_bar is 0 after 20 steps"),
        (lambda: process.betas.cosine(0), "num_steps must be at least 1"),
        (lambda: process.betas.linear(20.5), "num_steps must be an integer, got 20.5"),
        (lambda: process.betas.cosine(10, max_beta=1.0), "max_beta must lie between 0 and 1"),
        (lambda: respacing.space(10, "11"), "cannot keep 11 of the 10 steps"),
        (lambda: respacing.space(50, "ddim30"), "no whole stride through 50 steps"),
        (lambda: respacing.space(50, "a,b"), "sections must be counts"),
        (lambda: respacing.space(50, "0"), "must keep at least one step"),
        (lambda: respacing.respace(BETAS, respacing.space(60, "1")), "start at the noisiest level, step 59 or"),
        (lambda: respacing.respace(BETAS, respacing.space(60, "10,1")), "the highest is 30; respacing.evenly"),
        (lambda: respacing.respace(BETAS, respacing.space(60, "10,0")), "the highest is 29; respacing.evenly"),
        (lambda: respacing.evenly(50, 0), "num_steps must be 1 to 50, the length of the chain, got 0"),
        (lambda: respacing.evenly(50, 51), "num_steps must be 1 to 50, the length of the chain, got 51"),
        (lambda: process.betas.linear(1), "betas must lie between 0 and 1, but betas"),
        (lambda: respacing.respace(BETAS, [0, 60]), "steps must increase within 0 to 59"),
        (lambda: respacing.respace(BETAS, [3, 3]), "steps must increase within 0 to 59"),
        (lambda: ddim(1.5), "eta must be in"),
        (lambda: encode(exact, jnp.zeros((1, 2)), np.array([1.0, 0.0])), "at least two levels above 0"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_shapes():
    x, sigma = jnp.zeros((2, 3)), jnp.array(1.0)
    one = precond.denoiser_with_variance(lambda params, x, c_noise: x, None, precond.ddpm.eps(BETAS))
    with pytest.raises(ValueError, match="a learned variance needs 6 output channels, got 3"):
        one(x, sigma)
    with pytest.raises(ValueError, match="model must return a tuple of 2, each of floats of the shape of x"):
        sample(
            ancestral(reverse_kernel.learned()), lambda x, sigma: x, x, GRID, key=jax.random.key(0)
        )  # two examples are no pair
    with pytest.raises(ValueError, match="gradient must return floats of the shape of x"):
        guidance.classifier_guide(lambda x, sigma: x, lambda x, sigma: x[:, :1])(x, sigma)
    with pytest.raises(ValueError, match="log_prob must give one number per example"):
        guidance.log_prob_gradient(lambda x, sigma: x)(x, sigma)
    with pytest.raises(ValueError, match="f must have the shape of x0"):
        ddpm.simple_loss(jnp.zeros((2, 6)), precond.ddpm.eps(BETAS), x, jnp.ones(2), x)
