"""Controllable generation of Gaussians, whose answer has a closed form; interpolation; and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, guidance, probability_flow, process
from jaxdiff.editing import directions, grey, pixels, slerp
from jaxdiff.editing.linear_measurement import grey_mask
from jaxdiff.samplers import correction, impute, predictor, predictor_corrector, sample
from jaxdiff.samplers.langevin import annealed_step_size
from jaxdiff.samplers.predictors import reverse_diffusion
from jaxdiff.types import expand
from tests.support.colour_basis import colour_basis

SDES = {"vp": process.sde.vp(beta_max=8.0), "subvp": process.sde.subvp(), "ve": process.sde.ve(sigma_max=10.0)}
GAUSSIAN = gaussian_mixture.mixture([[0.5, -1.0]], [1.0], 0.25)
PAIR = gaussian_mixture.mixture([[-1.0, 0.5], [1.5, 0.0]], [0.3, 0.7], 0.1)


def start(sde, num, steps):
    return process.sde.grid(sde, steps)[0] * jax.random.normal(jax.random.key(0), (num, 2))


@pytest.mark.optimised  # it runs for longer than it compiles
@pytest.mark.parametrize(
    "sde", [pytest.param(SDES[name], id=name, marks=() if name == "vp" else pytest.mark.full) for name in SDES]
)
def test_the_observed_part_stays_and_the_rest_is_sampled(sde):
    """Of independent numbers the one that is not observed keeps its own mean and variance, within 3 standard errors."""
    num, data, measurement = 4_000, jnp.full((4_000, 2), 0.8), pixels(jnp.array([1.0, 0.0]))
    predict = impute(predictor(sde, reverse_diffusion), data, measurement)
    correct = impute(correction(sde, snr=0.03, step_size=annealed_step_size), data, measurement)
    grid = process.sde.grid(sde, 400)
    run = jax.jit(
        lambda x, key: sample(
            predictor_corrector(correct, predict), partial(gaussian_mixture.denoiser, GAUSSIAN), x, grid, key=key
        )
    )
    x = np.asarray(run(start(sde, num, 400), jax.random.key(1)), np.float64)
    np.testing.assert_allclose(x[:, 0], 0.8, rtol=1e-6)
    assert abs(x[:, 1].mean() + 1.0) < 3 * 0.5 / num**0.5
    assert abs(x[:, 1].var() - 0.25) < 3 * 0.25 * (2 / num) ** 0.5


def test_all_observed_is_the_data_and_none_observed_is_the_plain_sampler():
    sde, grid = SDES["vp"], process.sde.grid(SDES["vp"], 12)
    plain, x, data = predictor(sde, reverse_diffusion), start(sde, 3, 12), jnp.ones((3, 2))
    noise = jax.random.normal(jax.random.key(2), (2, 12, 3, 2))
    run = lambda mask: sample(  # noqa: E731
        impute(plain, data, pixels(mask)), partial(gaussian_mixture.denoiser, PAIR), x, grid, noise=(noise[0], noise[1])
    )
    np.testing.assert_array_equal(run(jnp.ones(2)), data)
    same = sample(plain, partial(gaussian_mixture.denoiser, PAIR), x, grid, noise=noise[0])
    np.testing.assert_allclose(run(jnp.zeros(2)), same, rtol=1e-6)


def test_grey_comes_back_and_colour_is_sampled(x64):
    """The mean over channels is the observed image's; the basis is orthogonal to rounding."""
    basis = colour_basis()
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-15)
    image = jnp.broadcast_to(jnp.linspace(-1.0, 1.0, 4).reshape(1, 2, 2, 1), (5, 2, 2, 3))
    sampler = impute(predictor(SDES["ve"], reverse_diffusion), image, directions(grey_mask((2, 2, 3)), basis))
    x = 10.0 * jax.random.normal(jax.random.key(0), image.shape)
    denoise = lambda x, sigma: x / (1 + expand(sigma, x) ** 2)  # noqa: E731
    run = jax.jit(lambda x, key: sample(sampler, denoise, x, process.sde.grid(SDES["ve"], 24), key=key))
    found = run(x, jax.random.key(1))
    np.testing.assert_allclose(found.mean(-1), image.mean(-1), atol=1e-12)
    assert float(jnp.std(found - image)) > 0.1


@pytest.mark.optimised  # it runs for longer than it compiles
def test_a_classifier_of_noisy_images_makes_the_conditional_score(x64):
    """With the mixture's own posterior the guided denoiser is that of the one component, at every level."""

    def log_posterior(x, sigma):
        component = gaussian_mixture.mixture([[1.5, 0.0]], [1.0], 0.1)
        return (
            np.log(0.7)
            + gaussian_mixture.log_density(component, x, sigma)
            - gaussian_mixture.log_density(PAIR, x, sigma)
        )

    guided = guidance.classifier_guide(
        partial(gaussian_mixture.denoiser, PAIR), guidance.log_prob_gradient(log_posterior)
    )
    x, jitted = 3 * jax.random.normal(jax.random.key(0), (50, 2)), jax.jit(guided)
    for sigma in (0.05, 0.7, 4.0):
        expected = gaussian_mixture.denoiser(gaussian_mixture.mixture([[1.5, 0.0]], [1.0], 0.1), x, jnp.asarray(sigma))
        np.testing.assert_allclose(jitted(x, jnp.asarray(sigma)), expected, rtol=1e-7, atol=1e-9)
    sde = SDES["vp"]
    run = jax.jit(
        lambda x, key: sample(predictor(sde, reverse_diffusion), guided, x, process.sde.grid(sde, 400), key=key)
    )
    drawn = np.asarray(run(start(sde, 4_000, 400), jax.random.key(1)))
    assert np.all(np.abs(drawn.mean(0) - [1.5, 0.0]) < 3 * (0.1 / 4_000) ** 0.5)


def test_between_two_images_by_their_encodings():
    """Ends of the path are the images themselves; between them it stays in the data."""
    sde, pair = SDES["vp"], jnp.array([[-1.0, 0.5], [1.5, 0.0]])
    score = lambda x, t: process.reverse_sde.score(sde, partial(gaussian_mixture.denoiser, PAIR), x, t)  # noqa: E731

    @jax.jit
    def between(pair):
        latent = probability_flow.solve(sde, score, pair, 1e-3, 1.0)
        z0, z1 = (jnp.broadcast_to(z, (5, 2)) for z in (latent.x[:1], latent.x[1:]))
        decoded = probability_flow.solve(sde, score, slerp(z0, z1, jnp.linspace(0.0, 1.0, 5)), 1.0, 1e-3)
        return decoded.x, latent.solved, decoded.solved

    images, *solved = between(pair)
    assert all(bool(jnp.all(found)) for found in solved)
    np.testing.assert_allclose(images[jnp.array([0, 4])], pair, atol=1e-3)
    assert bool(jnp.all(gaussian_mixture.log_density(PAIR, images, jnp.asarray(0.0)) > -12))


def test_slerp_keeps_to_the_sphere(x64):
    z0, z1 = (a / jnp.linalg.norm(a, axis=1, keepdims=True) for a in jax.random.normal(jax.random.key(0), (2, 6, 9)))
    weight = jnp.linspace(0.0, 1.0, 6)
    between = slerp(z0, z1, weight)
    np.testing.assert_allclose(jnp.linalg.norm(between, axis=1), 1.0, rtol=1e-12)
    angle = jnp.arccos(jnp.sum(z0 * z1, axis=1))
    np.testing.assert_allclose(jnp.sum(z0 * between, axis=1), jnp.cos(weight * angle), atol=1e-12)
    for other in (z0, -z0, 0 * z0):
        assert bool(jnp.all(jnp.isfinite(slerp(z0, other, 0.5))))
        np.testing.assert_allclose(slerp(z0, other, 1.0), other, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: impute(REST, DATA, pixels(jnp.ones((3, 2)))), r"mask must have the shape of the data, \[2, 3\]"),
        (lambda: impute(REST, DATA[:, :1], grey((3,))), "the basis is one of 3 channels"),
        (lambda: slerp(jnp.ones((1, 2)), jnp.ones((1, 3)), 0.5), "z0 and z1 must have one shape"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


DATA = jnp.ones((2, 3))
REST = predictor(SDES["vp"], reverse_diffusion)
