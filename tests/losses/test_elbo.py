"""The bound where the evidence is known; expectations are by Gauss-Hermite quadrature, so that no test is luck."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, process
from jaxdiff.losses import ddpm, elbo
from jaxdiff.losses.bits import check_bins
from jaxdiff.losses.gaussian import discretized_gaussian, normal_log_prob
from jaxdiff.process import reverse_kernel


def normal_nodes(count):
    """Nodes and weights of the standard normal: exact for polynomials of degree 2 count - 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def expected_bound(hvae, x, count=24):
    """E[-ELBO] of every x [N, 1] over the noise of every layer, in nats."""
    nodes, weights = normal_nodes(count)
    tiled = jnp.repeat(x, count, axis=0)
    noise = jnp.broadcast_to(jnp.tile(jnp.asarray(nodes), x.shape[0])[None, :, None], (len(hvae.alpha), *tiled.shape))
    bound = jax.jit(lambda x, noise: elbo.hvae_elbo(hvae, x, noise=noise).total)(tiled, noise)
    return bound.reshape(x.shape[0], count) @ weights


def test_two_layer_linear_gaussian_vae_has_its_evidence_as_bound(x64):
    """With the exact decoder, reverse step and prior of a linear-Gaussian model the bound is tight."""
    variance, alpha, noise = 0.7, np.array([0.8, 0.3]), np.array([0.2, 0.9])
    marginal = alpha**2 * variance + noise  # of z_0 and z_1

    def exact(z, layer):
        # p(x | z_0) and p(z_0 | z_1) of the joint Gaussian, by regression.
        ratio = alpha[1] / alpha[0]
        gain = jnp.where(layer > 0, ratio * marginal[0] / marginal[1], alpha[0] * variance / marginal[0])
        rest = jnp.where(
            layer > 0, marginal[0] * (1 - ratio**2 * marginal[0] / marginal[1]),
            variance * (1 - alpha[0] ** 2 * variance / marginal[0]),
        )  # fmt: skip
        return gain[:, None] * z, jnp.log(rest)[:, None] + 0 * z

    hvae = elbo.HVAE(jnp.asarray(alpha), jnp.asarray(noise), exact, normal_log_prob, marginal[1])
    x = jnp.linspace(-2, 2, 5)[:, None]
    evidence = normal_log_prob(x[:, 0], 0.0, np.log(variance))
    np.testing.assert_allclose(expected_bound(hvae, x, count=3), -evidence, rtol=1e-12)


def chain_of(num_steps):
    """A chain from sigma 20 down to 0.005 in equal ratios: only the number of steps changes."""
    return process.betas.from_sigmas(np.append(np.geomspace(20, 0.005, num_steps), 0))


def gap(mixture, num_steps, variance=reverse_kernel.small):
    """Average over the data of E[-ELBO] + log p(x), with the exact denoiser and, at the ends, the exact Gaussians."""
    betas = chain_of(num_steps)
    sigma_0 = process.betas.sigmas(betas)[-2]
    spread = float(np.mean(mixture.variances))
    floor = spread * sigma_0**2 / (spread + sigma_0**2)
    p = reverse_kernel.fixed(variance, floor)
    hvae = elbo.ddpm_hvae(betas, p, partial(gaussian_mixture.denoiser, mixture), normal_log_prob)
    x, weights = data_nodes(mixture)
    moment = float(np.sum(weights * np.asarray(x)[:, 0] ** 2))
    hvae = hvae._replace(prior_variance=float(hvae.alpha[-1] ** 2 * moment + hvae.variance[-1]))
    return float(
        np.sum(weights * (np.asarray(expected_bound(hvae, x)) + np.asarray(gaussian_mixture.log_density(mixture, x))))
    )


def data_nodes(mixture, count=12):
    """Quadrature over a one-dimensional mixture."""
    nodes, weights = normal_nodes(count)
    x = np.concatenate([m + np.sqrt(v) * nodes for m, v in zip(mixture.means[:, 0], mixture.variances, strict=True)])
    return jnp.asarray(x)[:, None], np.concatenate([w * weights for w in np.ravel(mixture.weights)])


GAUSSIAN = gaussian_mixture.mixture([[0.0]], variances=0.5)
MIXTURE = gaussian_mixture.mixture([[-1.0], [0.8]], [0.4, 0.6], [0.05, 0.05])


def optimal(sigma, sigma_next):
    """The variance of x' given x, for the Gaussian: q's plus the posterior variance of x0."""
    ratio = (sigma_next / sigma) ** 2
    return reverse_kernel.small(sigma, sigma_next) + (1 - ratio) ** 2 * 0.5 * sigma**2 / (0.5 + sigma**2)


@pytest.mark.parametrize("mixture", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("variance", [reverse_kernel.small, reverse_kernel.large], ids=["small", "large"])
def test_the_gap_falls_as_one_over_the_number_of_steps(mixture, variance, x64):
    counts = np.array([100, 200, 400, 800])
    gaps = np.array([gap(mixture, num, variance) for num in counts])
    assert np.all(gaps > 0), "the bound lies above -log p"
    slope = np.polyfit(np.log(counts), np.log(gaps), 1)[0]
    assert abs(slope + 1) < 0.15, gaps


def test_the_optimal_variance_makes_the_bound_of_a_gaussian_tight(x64):
    tight, small, large = (
        gap(GAUSSIAN, 50, variance) for variance in (optimal, reverse_kernel.small, reverse_kernel.large)
    )
    assert abs(tight) < 1e-9
    assert small > 1e-3
    assert large > 1e-3


def test_every_part_of_the_bound_is_a_divergence_or_a_likelihood(x64):
    hvae = elbo.ddpm_hvae(
        chain_of(50), reverse_kernel.fixed(floor=1e-4), partial(gaussian_mixture.denoiser, MIXTURE), normal_log_prob
    )  # fmt: skip
    x = gaussian_mixture.sample(MIXTURE, jax.random.key(0), 8)
    bound = elbo.hvae_elbo(hvae, x, key=jax.random.key(1))
    assert bound.layers.shape == (50, 8)
    assert np.all(bound.layers[1:] >= 0)
    assert np.all(bound.prior >= 0)
    np.testing.assert_allclose(bound.total, bound.reconstruction + bound.matching + bound.prior, rtol=1e-12)


def test_masses_of_all_bins_sum_to_one():
    for bins in (17, 256):
        x = jnp.linspace(-1, 1, bins)[:, None]
        for cdf in (jax.scipy.stats.norm.cdf, None):
            kwargs = {} if cdf is None else {"cdf": cdf}
            mass = jnp.exp(discretized_gaussian(x, jnp.full_like(x, 0.21), -1.5, bins, **kwargs))
            np.testing.assert_allclose(mass.sum(), 1.0, rtol=1e-4)


def test_data_off_the_stated_grid_are_refused():
    check_bins(np.arange(256) / np.float32(127.5) - 1)
    check_bins(np.arange(17) / 8 - 1, bins=17)
    for x in (0.001, 1.1, np.nan):
        with pytest.raises(ValueError, match="must lie on the 17 grey values"):
            check_bins(np.array([0.0, x]), bins=17)
        with pytest.raises(ValueError, match="must lie on the 17 grey values"):
            discretized_gaussian(jnp.array([[x]]), jnp.zeros((1, 1)), 0.0, bins=17)


def test_missing_or_wrong_draws_are_refused():
    hvae = elbo.ddpm_hvae(
        chain_of(4), reverse_kernel.fixed(), partial(gaussian_mixture.denoiser, MIXTURE), normal_log_prob
    )
    x = jnp.zeros((2, 1))
    with pytest.raises(ValueError, match="either key= or noise=, got neither"):
        elbo.hvae_elbo(hvae, x)
    with pytest.raises(ValueError, match="one draw a layer"):
        elbo.hvae_elbo(hvae, x, noise=jnp.zeros((3, 2, 1)))
    for t in (jnp.array([0, 4]), jnp.array([-1, 0])):
        with pytest.raises(ValueError, match="layers must be 0 to 3"):
            ddpm.vlb_loss(hvae, x, t, x)
