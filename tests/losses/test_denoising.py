"""EDM's loss against closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, precond
from jaxdiff.losses import denoising


def test_loss_at_the_exact_denoiser_is_the_posterior_variance():
    """For x0 ~ N(m, v): E[(D - x0)^2] = v sigma^2 / (v + sigma^2)."""
    num, variance, sigma = 200_000, 0.3, 0.8
    mixture = gaussian_mixture.mixture([[0.2]], variances=variance)
    x0 = gaussian_mixture.sample(mixture, jax.random.key(0), num)
    noise = jax.random.normal(jax.random.key(1), x0.shape)
    loss = denoising.edm_loss(partial(gaussian_mixture.denoiser, mixture), x0, jnp.full(num, sigma), noise)
    expected = denoising.edm_weight(sigma) * variance * sigma**2 / (variance + sigma**2)
    assert abs(loss.mean() - expected) < 4 * loss.std() / np.sqrt(num)


def test_weight_makes_the_raw_target_count_equally():
    """lambda * c_out^2 = 1 at every level (Karras et al. 2022, Eq. 144): the loss is |F - target|^2."""
    sigma = jnp.geomspace(1e-2, 1e2, 9)
    np.testing.assert_allclose(denoising.edm_weight(sigma) * precond.edm().c_out(sigma) ** 2, 1, rtol=1e-5)


def test_value_per_example_ignores_the_other_examples():
    x0, noise = jnp.ones((3, 4, 4, 1)), jnp.full((3, 4, 4, 1), 0.1)
    sigma = jnp.array([0.1, 1.0, 3.0])
    run = partial(denoising.edm_loss, lambda x, sigma: 0.5 * x)
    np.testing.assert_allclose(run(x0, sigma, noise)[1:], run(x0[1:], sigma[1:], noise[1:]), rtol=1e-6)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="noise must"):
        denoising.edm_loss(lambda x, sigma: x, jnp.ones((2, 3)), jnp.ones(2), jnp.ones((2, 1)))
    with pytest.raises(ValueError, match="sigma must"):
        denoising.edm_loss(lambda x, sigma: x, jnp.ones((2, 3)), jnp.ones(()), jnp.ones((2, 3)))
