"""DDPM's chain: four predictions are one denoiser, samplers that are each other's special case, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import betas as chains
from jaxdiff import chain, guidance, precond, predictions, respacing, reverse, toy
from jaxdiff.losses import ddpm, importance
from jaxdiff.samplers import ancestral, ddim, encode, euler, sample

BETAS = respacing.respace(chains.cosine(1000), respacing.space(1000, "60"))
GRID = chains.sigmas(BETAS)
MIXTURE = toy.mixture([[-1.0, 0.3], [0.6, -0.5]], [0.5, 0.5], [0.04, 0.02])
NAMES = ("eps", "x0", "v", "mu")


def exact(x, sigma):
    return toy.denoiser(MIXTURE, x, sigma)


def network(name):
    """The exact network of a prediction, in float32: x_t and a step in, the prediction out."""
    levels = jnp.asarray(GRID[::-1], jnp.float32)

    def apply_fn(params, x_t, t):
        t = t.astype(int)
        sigma, below = levels[t + 1], levels[t]
        x = x_t * jnp.sqrt(1 + sigma**2)
        x0 = exact(x, sigma)
        return {
            "eps": lambda: predictions.eps_from_x0(x0, x, sigma),
            "x0": lambda: x0,
            "v": lambda: predictions.v_from_x0(x0, x, sigma),
            "mu": lambda: predictions.mu_from_x0(x0, x, sigma, below) / jnp.sqrt(1 + below**2),
        }[name]()

    return apply_fn


@pytest.mark.parametrize("sampler", [ancestral(), ancestral(reverse.fixed(reverse.large)), ddim(0.3), euler()])
def test_every_prediction_gives_the_same_samples(sampler):
    """From the same noise to 1e-5, in float32. From sigma 20 on, below which x0 - (x - sigma eps) keeps its digits."""
    grid = GRID[np.searchsorted(-GRID, -20.0) :]
    x = grid[0] * jax.random.normal(jax.random.key(0), (16, 2))
    denoisers = [precond.denoiser(network(name), None, getattr(chain, name)(BETAS)) for name in NAMES]
    found = jax.jit(lambda x, key: [sample(sampler, d, x, grid, key=key) for d in denoisers])(x, jax.random.key(1))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_raw_target_is_what_the_exact_network_returns_for_a_point(name, x64):
    """For data that are one point D = x0, so that F must be the target."""
    row, x0 = getattr(chain, name)(BETAS), jnp.full((5, 2), 0.3)
    t = jnp.array([0, 1, 20, 40, 59])
    sigma, noise = jnp.asarray(GRID[::-1])[t + 1], jax.random.normal(jax.random.key(0), (5, 2))
    x = x0 + sigma[:, None] * noise
    target = ddpm.raw_target(row, x0, sigma, noise)
    denoise = precond.denoiser(lambda params, x, c_noise: target, None, row)
    np.testing.assert_allclose(denoise(x, sigma), x0, atol=1e-9)
    assert ddpm.simple_loss(target, row, x0, sigma, noise).tolist() == [0.0] * 5


def test_special_cases(x64):
    x = GRID[0] * jax.random.normal(jax.random.key(0), (8, 2), jnp.float64)
    ranged = lambda x, sigma: (exact(x, sigma), 0 * x - 1)  # noqa: E731

    @jax.jit
    def run(x, key):
        plain = [sample(sampler, exact, x, GRID, key=key) for sampler in (ddim(0.0), euler(), ddim(1.0), ancestral())]
        return *plain, sample(ancestral(reverse.learned_range()), ranged, x, GRID, key=key)

    zero, ode, one, small, learned = run(x, jax.random.key(1))
    np.testing.assert_allclose(zero, ode, rtol=1e-12)
    np.testing.assert_allclose(one, small, rtol=1e-9)
    np.testing.assert_allclose(learned, small, rtol=1e-9)


def test_encoding_and_decoding_come_back(x64):
    """DDIM inversion: the round trip's error is of first order in the steps."""
    x = toy.sample(MIXTURE, jax.random.key(0), 32).astype(jnp.float64)
    errors = []
    for num_steps in (200, 400, 800):
        grid = np.geomspace(20, 0.01, num_steps)
        there_and_back = jax.jit(lambda x, grid=grid: sample(euler(), exact, encode(exact, x, grid), grid))(x)
        errors.append(float(np.sqrt(np.mean((there_and_back - x) ** 2))))
    slope = -np.polyfit(np.log([200, 400, 800]), np.log(errors), 1)[0]
    assert errors[-1] < 0.05
    assert 0.8 < slope < 1.5, errors


def test_classifier_guidance_turns_a_mixture_into_one_of_its_parts(x64):
    """Bayes: the denoiser of all data plus sigma^2 grad log p(y | x) is the denoiser of class y."""

    def log_prob(x, sigma):
        part = toy.mixture(MIXTURE.means[:1], variances=MIXTURE.variances[:1])
        return jnp.log(0.5) + toy.log_density(part, x, sigma) - toy.log_density(MIXTURE, x, sigma)

    guided = guidance.classifier_guide(exact, guidance.log_prob_gradient(log_prob))
    part, run = toy.mixture(MIXTURE.means[:1], variances=MIXTURE.variances[:1]), jax.jit(guided)
    x = jax.random.normal(jax.random.key(0), (16, 2), jnp.float64)
    for sigma in (0.1, 1.0, 10.0):
        np.testing.assert_allclose(run(x, jnp.array(sigma)), toy.denoiser(part, x, sigma), atol=1e-9)


def test_a_thousand_steps_are_one_compiled_step():
    """The program for 1,000 steps is that for 10: as many instructions, and no memory that grows with the steps."""

    def program(num_steps):
        grid = chains.sigmas(chains.cosine(num_steps))
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


def test_importance_weights_keep_the_loss_unbiased():
    history = importance.LossHistory(jnp.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]]), jnp.array([2, 2, 2]))
    probabilities = importance.weights(history, uniform_prob=0.1)
    grid = (jnp.arange(30_000) + 0.5) / 30_000
    t, weight = importance.draw_steps(grid, probabilities)
    losses = jnp.array([1.0, 2.0, 5.0])
    np.testing.assert_allclose(jnp.mean(weight * losses[t]), losses.mean(), rtol=1e-3)


@pytest.mark.parametrize("batch", [1, 2, 7, 8])
def test_antithetic_steps_pair_up(batch):
    t = importance.antithetic_steps(jax.random.uniform(jax.random.key(0), (-(-batch // 2),)), 10, batch)
    assert t.shape == (batch,)
    pairs = batch // 2
    assert (t[:pairs] + t[-(-batch // 2) :][:pairs]).tolist() == [9] * pairs


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chains.check(np.array([0.1, 0.0])), "betas must lie between 0 and 1, but betas"),
        (lambda: chains.check(np.array([0.1, 1.2])), "betas must lie between 0 and 1, but betas"),
        (lambda: chains.check(np.array([1.0, 0.1])), "betas must lie between 0 and 1, but betas"),
        (lambda: chains.constant(3, np.nan), "betas must lie between 0 and 1, but betas"),
        (lambda: chains.linear(10), "betas must lie between 0 and 1, but betas"),
        (lambda: chains.sigmas(chains.linear(20)), "alpha_bar is 0 after 20 steps"),
        (lambda: chain.eps(chains.linear(20)), "alpha_bar is 0 after 20 steps"),
        (lambda: chains.cosine(0), "num_steps must be at least 1"),
        (lambda: chains.cosine(10, max_beta=1.0), "max_beta must lie between 0 and 1"),
        (lambda: respacing.space(10, "11"), "cannot keep 11 of the 10 steps"),
        (lambda: respacing.space(50, "ddim30"), "no whole stride through 50 steps"),
        (lambda: respacing.space(50, "a,b"), "sections must be counts"),
        (lambda: respacing.space(50, "0"), "must keep at least one step"),
        (lambda: respacing.respace(BETAS, respacing.space(60, "1")), "start at the noisiest level, step 59 or"),
        (lambda: respacing.respace(BETAS, respacing.space(60, "10,1")), "the highest is 30; respacing.evenly"),
        (lambda: respacing.respace(BETAS, respacing.space(60, "10,0")), "the highest is 29; respacing.evenly"),
        (lambda: respacing.evenly(50, 0), "num_steps must be 1 to 50, the length of the chain, got 0"),
        (lambda: respacing.evenly(50, 51), "num_steps must be 1 to 50, the length of the chain, got 51"),
        (lambda: chains.linear(1), "betas must lie between 0 and 1, but betas"),
        (lambda: respacing.respace(BETAS, [0, 60]), "steps must increase within 0 to 59"),
        (lambda: respacing.respace(BETAS, [3, 3]), "steps must increase within 0 to 59"),
        (lambda: ddim(1.5), "eta must be in"),
        (lambda: encode(exact, jnp.zeros((1, 2)), np.array([1.0, 0.0])), "at least two levels above 0"),
        (lambda: importance.antithetic_steps(jnp.zeros(3), 10, 8), "uniform must be"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_shapes():
    x, sigma = jnp.zeros((2, 3)), jnp.array(1.0)
    one = precond.denoiser_with_variance(lambda params, x, c_noise: x, None, chain.eps(BETAS))
    with pytest.raises(ValueError, match="a learned variance needs 6 output channels, got 3"):
        one(x, sigma)
    with pytest.raises(ValueError, match="model must return a tuple of 2, each of floats of the shape of x"):
        sample(
            ancestral(reverse.learned()), lambda x, sigma: x, x, GRID, key=jax.random.key(0)
        )  # two examples are no pair
    with pytest.raises(ValueError, match="gradient must return floats of the shape of x"):
        guidance.classifier_guide(lambda x, sigma: x, lambda x, sigma: x[:, :1])(x, sigma)
    with pytest.raises(ValueError, match="log_prob must give one number per example"):
        guidance.log_prob_gradient(lambda x, sigma: x)(x, sigma)
    with pytest.raises(ValueError, match="f must have the shape of x0"):
        ddpm.simple_loss(jnp.zeros((2, 6)), chain.eps(BETAS), x, jnp.ones(2), x)
