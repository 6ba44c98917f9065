"""What a denoising diffusion GAN is trained on: pairs (x_{t-1}, x_t) of a chain and draws of its posterior.

    x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) n,   x_{t+1} = sqrt(1 - beta_{t+1}) x_t + sqrt(beta_{t+1}) n'

Networks see these native coordinates, x / sqrt(1 + sigma^2) in the library's. Here t = 0 .. T-1 counts the noisings of
the LESS noisy image of a pair, as networks are told it: (x_t, x_{t+1}), where x_0 is the data.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxdiff import betas as chains
from jaxdiff.betas import Betas
from jaxdiff.types import Array, Batch, Float, Key, checked, expand


class Process(NamedTuple):
    """Tables, float64 on the host, cast where used; another set of the same shapes may be put in their place.

    signal, std [T + 1]: of x_t given x0; hop_signal, hop_std [T]: of x_{t+1} given x_t;
    posterior_x0, posterior_x, posterior_std [T]: q(x_t | x_{t+1}, x0) has mean posterior_x0 x0 + posterior_x x_{t+1}.
    """

    signal: NDArray
    std: NDArray
    hop_signal: NDArray
    hop_std: NDArray
    posterior_x0: NDArray
    posterior_x: NDArray
    posterior_std: NDArray


class Draws(NamedTuple):
    """What is drawn for one pair and one fake an example: t [B] integers, latent [B, d], noises [B, ...].

    noise_prev: of x_t; noise: of the hop to x_{t+1}; noise_posterior: of the fake x_t.
    """

    t: Array
    latent: Array
    noise_prev: Batch
    noise: Batch
    noise_posterior: Batch


def process(betas: Betas, first_beta: float = 0.0) -> Process:
    """Tables of a chain.

    Args:
      betas: [T], as `betas.vp(4)`.
      first_beta: of a noising before x_0, which the posterior does not know of. The released code has 1e-8, but in its
        float32 that is nothing: x_0 is the data.
    Raises: ValueError when a beta is outside (0, 1) or first_beta outside [0, 1).
    Reference: Xiao et al. 2022, sections 2 and 3.2; Ho et al. 2020, Eq. 6 and 7.
    Example:
      >>> process(chains.vp(4)).std.round(4).tolist()
      [0.0, 0.6916, 0.9599, 0.9983, 1.0]
    """
    if not 0 <= first_beta < 1:
        raise ValueError(f"first_beta must lie in [0, 1), got {first_beta}")
    tables = chains.tables(betas)
    signal = np.sqrt(np.cumprod(np.append(1 - first_beta, 1 - tables.betas)))
    # In logarithms a small std keeps its digits, as in `betas.sigmas`.
    with np.errstate(divide="ignore"):
        std = np.sqrt(-np.expm1(np.cumsum(np.append(np.log1p(-first_beta), np.log1p(-tables.betas)))))
    return Process(
        signal,
        std,
        np.sqrt(1 - tables.betas),
        np.sqrt(tables.betas),
        tables.posterior_mean_coef1,
        tables.posterior_mean_coef2,
        np.sqrt(tables.posterior_variance),
    )


def diffuse(process: Process, x0: Batch, t: Float[Array, "*B"], noise: Batch) -> Batch:
    """x_t = signal_t x0 + std_t noise, t = 0 .. T.

    Args:
      x0, noise: [B, ...]; t: integers, [] or [B].
    Raises: ValueError when the noise has another shape than x0.
    Example:
      >>> diffuse(process(chains.vp(4)), jnp.ones((1, 2)), jnp.array([0]), jnp.ones((1, 2))).tolist()
      [[1.0, 1.0]]
    """
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    return _at(process.signal, t, x0) * x0 + _at(process.std, t, x0) * noise


def pair(process: Process, x0: Batch, t: Float[Array, "*B"], noise_prev: Batch, noise: Batch) -> tuple[Batch, Batch]:
    """(x_t, x_{t+1}), t = 0 .. T-1, the second one hop from the first.

    Args:
      x0: [B, ...]; t: integers, [] or [B]; noise_prev, noise: of x_t and of the hop, [B, ...].
    Returns: both [B, ...].
    Raises: ValueError when a noise has another shape than x0.
    Reference: Xiao et al. 2022, section 3.2, whose discriminator compares such pairs with fakes.
    Example:
      >>> x_prev, x = pair(process(np.array([0.75])), jnp.ones((1, 2)), jnp.array(0), *jnp.zeros((2, 1, 2)))
      >>> x_prev.tolist(), x.tolist()
      ([[1.0, 1.0]], [[0.5, 0.5]])
    """
    x_prev = diffuse(process, x0, t, noise_prev)
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    return x_prev, _at(process.hop_signal, t, x0) * x_prev + _at(process.hop_std, t, x0) * noise


def posterior(process: Process, x0: Batch, x: Batch, t: Float[Array, "*B"], noise: Batch) -> Batch:
    """A draw of x_t from q(x_t | x_{t+1}, x0), given x = x_{t+1}; x0 itself at t = 0.

    It is the step of `samplers.ancestral` with the small variance, in native coordinates.

    Args:
      x0: known or generated, and x, noise: [B, ...]; t: integers, [] or [B].
    Reference: Xiao et al. 2022, section 3.2.
    Example:
      >>> x = jnp.ones((1, 2))
      >>> posterior(process(chains.vp(4)), 3 * x, x, jnp.array([0]), x).tolist()
      [[3.0, 3.0]]
    """
    checked(lambda x: x0, "the generator")(x)
    mean = _at(process.posterior_x0, t, x) * x0 + _at(process.posterior_x, t, x) * x
    return mean + _at(process.posterior_std, t, x) * noise


def direct(process: Process, output: Batch, x: Batch, t: Float[Array, "*B"], noise: Batch) -> Batch:
    """The network's output as x_t, in the place of `posterior`: the paper's ablation that predicts x_{t-1} itself."""
    return output


def draw(key: Key, x0: Batch, num_steps: int, latent_dim: int) -> Draws:
    """t uniform over 0 .. T-1, the rest standard normal.

    Args:
      num_steps: T >= 1; latent_dim: >= 0.
    Raises: ValueError when num_steps is below 1.
    Reference: Xiao et al. 2022, section 3.2.
    Example:
      >>> [leaf.shape for leaf in draw(jax.random.key(0), jnp.zeros((3, 2)), num_steps=4, latent_dim=5)]
      [(3,), (3, 5), (3, 2), (3, 2), (3, 2)]
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    key_t, key_latent, key_noise = jax.random.split(key, 3)
    t = jax.random.randint(key_t, x0.shape[:1], 0, num_steps)
    latent = jax.random.normal(key_latent, (x0.shape[0], latent_dim), x0.dtype)
    return Draws(t, latent, *jax.random.normal(key_noise, (3, *x0.shape), x0.dtype))


def _at(table: NDArray, t: Array, x: Batch) -> Array:
    return expand(jnp.asarray(table, x.dtype)[t], x)
