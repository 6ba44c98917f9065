"""Grids, predictions, guidance, preconditioning and mixtures: identities and closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, grids, guidance, losses, precond, predictions, process
from jaxdiff.process import posterior
from jaxdiff.types import expand

MIXTURE = gaussian_mixture.mixture([[-1.0, 0.5], [1.0, 0.0], [0.3, -1.0]], [0.2, 0.5, 0.3], [0.1, 0.2, 0.05])


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_steps": 0},
        {"num_steps": -3},
        {"num_steps": 2.5},
        {"num_steps": np.nan},
        {"num_steps": 5, "sigma_min": 0.0},
        {"num_steps": 5, "sigma_min": 2.0, "sigma_max": 1.0},
        {"num_steps": 5, "sigma_min": 1.0, "sigma_max": 1.0},
        {"num_steps": 5, "sigma_max": np.inf},
        {"num_steps": 5, "rho": 0.0},
        {"num_steps": 5, "rho": -1.0},
    ],
)
def test_karras_refuses(kwargs):
    with pytest.raises(ValueError, match=r"num_steps|sigma_min|rho"):
        grids.karras(**kwargs)


def test_karras_is_linear_in_the_rho_root():
    sigmas = grids.karras(18)
    assert sigmas.dtype == np.float64
    assert sigmas[0] == pytest.approx(80.0, rel=1e-14)
    assert sigmas[-2] == pytest.approx(0.002, rel=1e-13)
    assert sigmas[-1] == 0
    np.testing.assert_allclose(np.diff(sigmas[:-1] ** (1 / 7), 2), 0, atol=1e-14)


@pytest.mark.parametrize("name", ["eps", "score", "v"])
@pytest.mark.parametrize("sigma", [0.9, np.array([0.2, 1.0, 4.0, 0.05])])
def test_predictions_round_trip(name, sigma, x64):
    prediction = getattr(predictions, name)
    x0, n = normal(0, 4, 3, 2), normal(1, 4, 3, 2)
    x = x0 + expand(sigma, x0) * n
    found = predictions.to_x0(prediction, predictions.from_x0(prediction, x0, x, sigma), x, sigma)
    np.testing.assert_allclose(found, x0, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("sigma_next", [0.9, np.array([0.1, 0.7, 1.1, 0.01])])
def test_the_posterior_mean_gives_x0_back(sigma_next, x64):
    x0, x, sigma = normal(0, 4, 3, 2), normal(1, 4, 3, 2), np.full(4, 1.2)
    mu, q = posterior.mean(x0, x, sigma, sigma_next), posterior.between(sigma, sigma_next)
    np.testing.assert_allclose((mu - expand(q.of_x, x) * x) / expand(q.of_x0, x), x0, rtol=1e-11, atol=1e-11)


def test_predictions_mean_what_the_papers_say(x64):
    sigma, sigma_next = 0.7, 0.3
    x0, n = normal(0, 4, 3), normal(1, 4, 3)
    x = x0 + sigma * n
    alpha = 1 / np.sqrt(1 + sigma**2)
    np.testing.assert_allclose(predictions.from_x0(predictions.eps, x0, x, sigma), n)
    v = alpha * n - np.sqrt(1 - alpha**2) * x0
    np.testing.assert_allclose(predictions.from_x0(predictions.v, x0, x, sigma), v)
    np.testing.assert_allclose(predictions.from_x0(predictions.score, x0, x, sigma), -n / sigma)
    # q(x' | x, x0) from x' = x0 + s' n', x = x' + sqrt(s^2 - s'^2) n'': the conditional mean of a joint Gaussian.
    gain = sigma_next**2 / sigma**2
    np.testing.assert_allclose(posterior.mean(x0, x, sigma, sigma_next), x0 + gain * sigma * n)


def test_guidance_interpolates_denoisers():
    cond, uncond = lambda x, sigma: x + sigma, lambda x, sigma: 2 * x
    x = normal(0, 3, 2)
    np.testing.assert_allclose(guidance.guide(cond, uncond, 1.0)(x, 0.5), cond(x, 0.5), rtol=1e-6)
    np.testing.assert_allclose(guidance.guide(cond, uncond, 0.0)(x, 0.5), uncond(x, 0.5), rtol=1e-6)
    with pytest.raises(ValueError, match="low < high"):
        guidance.clip(cond, 1.0, -1.0)


def test_edm_preconditioning_has_unit_variance_in_and_out(x64):
    """Var[c_in x] = 1 and Var[(x0 - c_skip x) / c_out] = 1 for data of variance sigma_data^2 (Eq. 114 to 123)."""
    sigma_data, sigma = 0.7, np.geomspace(1e-3, 1e3, 13)
    p = precond.edm(sigma_data)
    c_skip, c_out, c_in = p.c_skip(sigma), p.c_out(sigma), p.c_in(sigma)
    np.testing.assert_allclose(c_in**2 * (sigma_data**2 + sigma**2), 1)
    np.testing.assert_allclose(((1 - c_skip) ** 2 * sigma_data**2 + c_skip**2 * sigma**2) / c_out**2, 1)


def test_denoiser_is_exact_at_its_fixed_points():
    """F = 0 leaves c_skip x; the labels reach the network; a scalar sigma equals one a sample."""
    seen = {}

    def apply_fn(params, x, c_noise, labels):
        seen["labels"], seen["shape"] = labels, c_noise.shape
        return params * x

    denoise = precond.denoiser(apply_fn, 1.0, precond.edm(), labels="seven")
    x = normal(0, 3, 4)
    np.testing.assert_allclose(denoise(x, 0.3), denoise(x, jnp.full(3, 0.3)), rtol=1e-6)
    assert seen == {"labels": "seven", "shape": (3,)}
    with pytest.raises(ValueError, match="sigma_data"):
        precond.edm(0.0)
    with pytest.raises(ValueError, match="value per example"):
        denoise(x, jnp.ones(2))


@pytest.mark.parametrize("sigma", [0.5, jnp.array(0.5), jnp.array([0.5]), jnp.full(3, 0.5)])
def test_networks_are_given_one_c_noise_an_example(sigma):
    """As in training: a network that embeds each example's needs no line for the one sigma of a sampler."""
    seen = []

    def network(params, x, c_noise):
        seen.append(c_noise)
        return jax.vmap(lambda x, c_noise: jnp.append(x, c_noise)[:2])(x, c_noise)

    sde, x = process.sde.ve(0.01, 80.0), normal(0, 3, 2)
    precond.denoiser(network, None, precond.edm())(x, sigma)
    precond.score_sde.score(network, None, precond.edm(), sde)(x, sde.time(jnp.asarray(sigma)))
    for c_noise in seen:
        np.testing.assert_allclose(c_noise, np.full(3, np.log(0.5) / 4), rtol=1e-4)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 7.0])
def test_score_is_the_gradient_of_the_log_density(sigma, x64):
    x = normal(2, 50, 2).astype(jnp.float64)
    gradient = jax.grad(lambda x: gaussian_mixture.log_density(MIXTURE, x, sigma).sum())(x)
    np.testing.assert_allclose(gaussian_mixture.score(MIXTURE, x, sigma), gradient, rtol=1e-9, atol=1e-9)


def test_mixture_density_integrates_to_one_and_matches_scipy(x64):
    from scipy.stats import multivariate_normal

    x = normal(2, 20, 2).astype(jnp.float64)
    components = zip(*MIXTURE, strict=True)
    density = sum(w * multivariate_normal(m, (v + 0.25) * np.eye(2)).pdf(x) for m, w, v in components)
    np.testing.assert_allclose(gaussian_mixture.log_density(MIXTURE, x, 0.5), np.log(density), rtol=1e-10)


def test_denoiser_is_the_mean_of_x0_given_x():
    """Least squares: no function of x predicts x0 better, so that D's error is uncorrelated with any function of x."""
    num, sigma = 200_000, 0.6
    x0 = gaussian_mixture.sample(MIXTURE, jax.random.key(0), num)
    x = x0 + sigma * normal(1, num, 2)
    residual = np.asarray(x0 - gaussian_mixture.denoiser(MIXTURE, x, sigma))
    for function in (jnp.ones_like, jnp.sin, lambda x: x**2, lambda x: x[:, ::-1]):
        product = residual * np.asarray(function(x))
        assert np.all(np.abs(product.mean(0)) < 4 * product.std(0) / np.sqrt(num))


def test_mixture_samples_have_its_moments():
    x = np.asarray(gaussian_mixture.sample(MIXTURE, jax.random.key(0), 100_000))
    mean = MIXTURE.weights @ MIXTURE.means
    second = MIXTURE.weights @ (MIXTURE.means**2 + MIXTURE.variances[:, None])
    np.testing.assert_allclose(x.mean(0), mean, atol=0.02)
    np.testing.assert_allclose((x**2).mean(0), second, atol=0.02)


def test_one_level_per_example_equals_one_by_one():
    x, sigma = normal(0, 5, 2), jnp.geomspace(0.1, 10, 5)
    together = gaussian_mixture.denoiser(MIXTURE, x, sigma)
    alone = jnp.concatenate([gaussian_mixture.denoiser(MIXTURE, x[i : i + 1], sigma[i]) for i in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    assert jax.jit(partial(gaussian_mixture.denoiser, MIXTURE))(x, sigma).dtype == jnp.float32


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"means": [1.0]}, "means"),
        ({"means": [[1.0]], "weights": [0.0]}, "weights"),
        ({"means": [[1.0]], "weights": [0.5, 0.5]}, "weights"),
        ({"means": [[1.0]], "variances": -1.0}, "variances"),
    ],
)
def test_mixture_refuses(kwargs, name):
    with pytest.raises(ValueError, match=name):
        gaussian_mixture.mixture(**kwargs)
    with pytest.raises(ValueError, match="x must be"):
        gaussian_mixture.denoiser(MIXTURE, jnp.zeros((2, 3)), 1.0)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.array([1.0, 0.0])])
def test_levels_on_the_host_must_be_positive(sigma):
    x = jnp.ones((2, 3))
    for call in (
        lambda: predictions.from_x0(predictions.eps, x, x, sigma),
        lambda: predictions.from_x0(predictions.score, x, x, sigma),
        lambda: predictions.from_x0(predictions.v, x, x, sigma),
        lambda: posterior.mean(x, x, sigma, 0.0),
        lambda: precond.denoiser(lambda params, x, c_noise: x, None, precond.edm())(x, sigma),
        lambda: losses.edm_loss(lambda x, sigma: x, x, np.broadcast_to(sigma, (2,)), x),
    ):
        with pytest.raises(ValueError, match="sigma must be positive"):
            call()


def test_expand_refuses_other_shapes():
    with pytest.raises(ValueError, match="per example"):
        expand(jnp.ones((2, 1)), jnp.zeros((2, 3)))
