"""The process of variational diffusion models: its reverse step and its noise prediction."""

import jax.numpy as jnp
import numpy as np

from jaxdiff import precond, process


def test_reverse_step_with_the_true_noise_gives_the_marginal_of_the_process(x64):
    """z_s given f is N(alpha_s f, sigma_s^2), as z_t was; in x = z / alpha the step is DDIM with eta = 1."""
    gamma_t, gamma_s, f = 1.5, -2.5, 0.7
    eps, noise = jnp.array([[0.0], [1.0], [0.0]]), jnp.array([[0.0], [0.0], [1.0]])
    alpha, sigma = process.vdm.alpha_sigma(gamma_t, eps)
    z_s = process.vdm.reverse_step(lambda z, gamma: eps, alpha * f + sigma * eps, gamma_t, gamma_s, noise)
    alpha_s, sigma_s = (float(a[0, 0]) for a in process.vdm.alpha_sigma(gamma_s, eps))
    mean, by_eps, by_noise = (float(row[0]) for row in z_s)
    np.testing.assert_allclose(mean, alpha_s * f, rtol=1e-12)
    np.testing.assert_allclose((by_eps - mean) ** 2 + (by_noise - mean) ** 2, sigma_s**2, rtol=1e-12)
    ratio = np.exp(gamma_s - gamma_t)
    np.testing.assert_allclose((by_noise - mean) / alpha_s, np.exp(gamma_s / 2) * np.sqrt(1 - ratio), rtol=1e-12)


def test_denoiser_and_noise_prediction_are_inverse_to_each_other(x64):
    net = lambda params, z, gamma: params * z + jnp.tanh(gamma)[:, None]  # noqa: E731
    round_trip = process.vdm.as_eps_model(precond.denoiser(net, 0.3, precond.vdm()))
    z, gamma = jnp.array([[0.4, -1.0], [2.0, 0.1]]), jnp.array([-9.0, 3.0])
    np.testing.assert_allclose(round_trip(z, gamma), net(0.3, z, gamma), rtol=1e-9)
