"""DDGAN's pairs and posterior: moments, the core's ancestral step, chains of any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import process
from jaxdiff.samplers import ancestral
from jaxdiff.samplers.base import Level

lengths = pytest.mark.parametrize("num_steps", [1, 2, 4, 8, 13])


def normals(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


@lengths
def test_levels_are_those_of_the_core(num_steps):
    betas = process.betas.vp(num_steps)
    chain = process.ddgan.discretize(betas)
    np.testing.assert_allclose(chain.std / chain.signal, process.betas.sigmas(betas)[::-1], rtol=1e-12)
    np.testing.assert_allclose(chain.signal**2 + chain.std**2, 1, rtol=1e-12)


@lengths
def test_all_chains_end_at_the_same_level(num_steps):
    """The VP diffusion at its end, but for what came before t_min."""
    assert process.betas.sigmas(process.betas.vp(num_steps))[0] == pytest.approx(
        process.betas.sigmas(process.betas.vp(1))[0], rel=1e-12
    )


@lengths
def test_a_pair_has_the_marginals_and_the_transition(num_steps, x64):
    """x_{t+1} is a linear map of (x0, n, n'): its coefficients against the marginal's."""
    chain = process.ddgan.discretize(process.betas.vp(num_steps))
    t = jnp.arange(num_steps)
    one, zero = jnp.ones((num_steps, 1)), jnp.zeros((num_steps, 1))
    columns = [process.ddgan.pair(chain, *inputs) for inputs in (
        (one, t, zero, zero), (zero, t, one, zero), (zero, t, zero, one))]  # fmt: skip
    signal, of_first, of_second = (x[:, 0] for _, x in columns)
    np.testing.assert_allclose(signal, chain.signal[1:], rtol=1e-12)
    np.testing.assert_allclose(of_first**2 + of_second**2, chain.std[1:] ** 2, rtol=1e-12)
    np.testing.assert_allclose(columns[0][0][:, 0], chain.signal[:-1], rtol=1e-12)


@lengths
def test_the_posterior_is_the_ancestral_step(num_steps, x64):
    betas = process.betas.vp(num_steps)
    chain, grid = process.ddgan.discretize(betas), process.betas.sigmas(betas)
    x0, x, noise = normals(3, num_steps, 2, 2)
    found = process.ddgan.sample_posterior(chain, x0, x, jnp.arange(num_steps), noise)
    for t in range(num_steps):
        sigma, sigma_next = grid[num_steps - 1 - t], grid[num_steps - t]
        level = Level(jnp.array(0), jnp.asarray(sigma), jnp.asarray(sigma_next), num_steps)
        native = x[t][None] * np.sqrt(1 + sigma**2)
        step, _ = ancestral().step(lambda x, sigma, t=t: x0[t][None], native, (), level, noise[t][None])
        np.testing.assert_allclose(found[t], step[0] / np.sqrt(1 + sigma_next**2), rtol=1e-9, atol=1e-12)


def test_posterior_of_the_true_x0_has_the_law_of_a_pair():
    """Given x0 = 0.7 for all: (x_t, x_{t+1}) from the posterior is distributed as a pair, in its second moments."""
    num = 200_000
    chain = process.ddgan.discretize(process.betas.vp(4))
    x0 = jnp.full((num, 1), 0.7)
    draws = process.ddgan.draw(jax.random.key(0), x0, num_steps=1, latent_dim=0)
    t = draws.t + 2
    x_prev, x = process.ddgan.pair(chain, x0, t, draws.noise_prev, draws.noise)
    again = process.ddgan.sample_posterior(chain, x0, x, t, draws.noise_posterior)
    real, fake = (np.cov(np.concatenate([a, x], axis=1).T) for a in (x_prev, again))
    np.testing.assert_allclose(fake, real, atol=5 / np.sqrt(num))
    np.testing.assert_allclose(again.mean(), x_prev.mean(), atol=5 / np.sqrt(num))


def test_draws_are_uniform_in_t_and_differ():
    draws = process.ddgan.draw(jax.random.key(0), jnp.zeros((40_000, 1)), num_steps=4, latent_dim=2)
    np.testing.assert_allclose(np.bincount(draws.t) / 40_000, 0.25, atol=0.01)
    assert abs(np.corrcoef(draws.noise[:, 0], draws.noise_prev[:, 0])[0, 1]) < 0.03


def test_first_beta_is_a_noising_before_the_data():
    chain = process.ddgan.discretize(process.betas.vp(4), first_beta=0.01)
    assert chain.std[0] == pytest.approx(0.1)
    np.testing.assert_allclose(chain.signal**2 + chain.std**2, 1)
    np.testing.assert_array_equal(chain.posterior_std, process.ddgan.discretize(process.betas.vp(4)).posterior_std)


def test_direct_takes_the_output_as_it_is():
    output, other = normals(2, 3, 2)
    chain = process.ddgan.discretize(process.betas.vp(4))
    assert process.ddgan.direct(chain, output, other, jnp.zeros(3, int), other) is output


def test_bad_input():
    for num_steps in (0, -3):
        with pytest.raises(ValueError, match=f"num_steps must be at least 1, got {num_steps}"):
            process.betas.vp(num_steps)
        with pytest.raises(ValueError, match=f"num_steps must be at least 1, got {num_steps}"):
            process.betas.geometric(num_steps, 0.01, 0.9)
        with pytest.raises(ValueError, match=f"num_steps must be at least 1, got {num_steps}"):
            process.ddgan.draw(jax.random.key(0), jnp.zeros((2, 1)), num_steps, 3)
    with pytest.raises(ValueError, match=r"variance_min, variance_max must rise within \(0, 1\), got 0.1, 20"):
        process.betas.geometric(4, 0.1, 20.0)
    with pytest.raises(ValueError, match="betas must lie between 0 and 1"):
        process.betas.vp(4, beta_min=-30.0)
    with pytest.raises(ValueError, match=r"first_beta must lie in \[0, 1\), got 1.0"):
        process.ddgan.discretize(process.betas.vp(4), 1.0)
    chain, x0 = process.ddgan.discretize(process.betas.vp(4)), jnp.zeros((2, 3))
    for noises in ((jnp.zeros((2, 1)), x0), (x0, jnp.zeros((2, 1)))):
        with pytest.raises(ValueError, match=r"noise must have the shape of x0, \[2, 3\], got \[2, 1\]"):
            process.ddgan.pair(chain, x0, jnp.zeros(2, int), *noises)
