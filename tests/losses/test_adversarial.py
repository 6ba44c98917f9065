"""Losses of GANs against the game's known optimum, and R1 against gradients taken by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.losses.adversarial import fake_loss, real_loss, real_loss_with_r1

LOGITS = jnp.array([-50.0, -2.0, 0.0, 3.0, 200.0])


def test_losses_are_the_logarithms_of_a_probability():
    probability = 1 / (1 + np.exp(-np.asarray(LOGITS[1:4], np.float64)))
    np.testing.assert_allclose(real_loss(LOGITS)[1:4], -np.log(probability), rtol=1e-6)
    np.testing.assert_allclose(fake_loss(LOGITS)[1:4], -np.log1p(-probability), rtol=1e-6)


def test_far_logits_stay_finite_and_do_not_saturate():
    np.testing.assert_allclose(real_loss(LOGITS)[jnp.array([0, 4])], [50.0, 0.0])
    np.testing.assert_allclose(fake_loss(LOGITS)[4], 200.0)
    slope = jax.vmap(jax.grad(lambda logit: real_loss(logit[None])[0]))(LOGITS)
    np.testing.assert_allclose(slope[0], -1.0)


def test_the_best_discriminator_is_the_log_ratio_of_densities():
    """p = N(1, 1), q = N(-1, 1): at the logit 2 x the loss is stationary in every direction, and log 4 - 2 JS."""
    x = jnp.linspace(-12, 12, 4001)
    p, q = (jnp.exp(-((x - m) ** 2) / 2) / jnp.sqrt(2 * jnp.pi) for m in (1.0, -1.0))
    integral = lambda values: jnp.trapezoid(values, x)  # noqa: E731

    def loss(logit):
        return integral(p * real_loss(logit)) + integral(q * fake_loss(logit))

    np.testing.assert_allclose(jax.grad(loss)(2 * x), 0, atol=1e-7)
    middle = (p + q) / 2
    divergence = integral(p * jnp.log(p / middle) + q * jnp.log(q / middle)) / 2
    np.testing.assert_allclose(loss(2 * x), np.log(4) - 2 * divergence, rtol=1e-5)


def test_r1_is_the_squared_gradient_of_each_example():
    key = jax.random.key(0)
    w, x = jax.random.normal(key, (6, 6)), jax.random.normal(jax.random.key(1), (4, 2, 3))

    def discriminate(x):
        flat = x.reshape(x.shape[0], -1)
        return jnp.sum(flat @ w * flat, axis=1)

    losses, r1 = real_loss_with_r1(discriminate, x, gamma=0.3)
    gradient = x.reshape(4, 6) @ (w + w.T)
    np.testing.assert_allclose(r1, 0.15 * np.sum(np.square(gradient), axis=1), rtol=1e-5)
    np.testing.assert_allclose(losses, real_loss(discriminate(x)), rtol=1e-6)


def test_r1_counts_what_an_example_does_to_the_others():
    """Minibatch standard deviation: the gradient is that of the summed logits."""
    x = jnp.array([[1.0], [4.0]])
    discriminate = lambda x: x[:, 0] + jnp.mean(x)  # noqa: E731
    _, r1 = real_loss_with_r1(discriminate, x, gamma=2.0)
    np.testing.assert_allclose(r1, [4.0, 4.0])


def test_gradient_of_r1_reaches_the_parameters():
    x = jnp.array([[2.0], [5.0]])
    r1 = lambda w: jnp.mean(real_loss_with_r1(lambda x: w * x[:, 0] ** 2, x, gamma=1.0)[1])  # noqa: E731
    np.testing.assert_allclose(jax.grad(r1)(3.0), 3.0 * np.mean(4 * np.square(x)), rtol=1e-6)


def test_bad_input():
    with pytest.raises(ValueError, match=r"logits must be \[B\], one an example, got shape \[3, 1\]"):
        real_loss(jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="logits must be"):
        real_loss_with_r1(lambda x: x, jnp.zeros((3, 1)), 1.0)
    with pytest.raises(ValueError, match="gamma must be at least 0, got -1"):
        real_loss_with_r1(lambda x: x[:, 0], jnp.zeros((3, 1)), -1.0)
