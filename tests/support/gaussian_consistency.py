"""Data N(m, s^2), for which the denoiser, the trajectories and the consistency function are known.

x - m scales with sqrt(s^2 + sigma^2) along a trajectory, hence
f(x, sigma) = m + (x - m) sqrt((s^2 + sigma_min^2) / (s^2 + sigma^2)).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import expand

MEAN, STD = 0.3, 0.6
SIGMA_MIN, SIGMA_MAX = 0.05, 5.0
SPAN = {"sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX}
TRUTH = np.array([MEAN, np.log(STD)])


def denoise(x, sigma):
    """D(x, sigma) = (s^2 x + sigma^2 m) / (s^2 + sigma^2)."""
    variance = expand(sigma, x) ** 2
    return (STD**2 * x + variance * MEAN) / (STD**2 + variance)


def consistency_fn(params=TRUTH, sigma_min=SIGMA_MIN):
    """f for the mean and the log of the standard deviation in params; f(x, sigma_min) = x whatever they are."""

    def f(x, sigma):
        mean, variance = params[0], jnp.exp(2 * params[1])  # here, so that it is in double precision where x is
        return mean + (x - mean) * jnp.sqrt((variance + sigma_min**2) / (variance + expand(sigma, x) ** 2))

    return f


def trigflow(function, sigma_data):
    """F(x_t / sigma_data, t) of a function of (x, sigma): (cos(t) x_t - f) / (sigma_data sin(t))."""

    def network(u, t):
        cos, sin, x_t = expand(jnp.cos(t), u), expand(jnp.sin(t), u), sigma_data * u
        return (cos * x_t - function(x_t / cos, sigma_data * jnp.tan(t))) / (sigma_data * sin)

    return network


def draw(key, num, dim=1):
    """(x0, noise), [num, dim]."""
    key_x0, key_noise = jax.random.split(key)
    return MEAN + STD * jax.random.normal(key_x0, (num, dim)), jax.random.normal(key_noise, (num, dim))
