"""The process of denoising diffusion GANs: training pairs (x_{t-1}, x_t) of a chain, and draws of its posterior.

    x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) n,   x_{t+1} = sqrt(1 - beta_{t+1}) x_t + sqrt(beta_{t+1}) n'

Networks see these native coordinates, x / sqrt(1 + sigma^2) in the library's. Here t = 0 .. T-1 counts the noisings of
the LESS noisy image of a pair, as networks see it: (x_t, x_{t+1}), where x_0 is the data.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxdiff.grids import check_num_steps
from jaxdiff.process.betas import Betas, tables
from jaxdiff.types import Array, Batch, Float, Key, check_outputs, expand


class DiscretizedProcess(NamedTuple):
    """Tables of a chain, float64 on the host, cast where used; another set of the same shapes may replace them.

    signal, std [T + 1]: of x_t given x0; step_signal, step_std [T]: of x_{t+1} given x_t;
    posterior_x0, posterior_x, posterior_std [T]: q(x_t | x_{t+1}, x0) has mean posterior_x0 x0 + posterior_x x_{t+1}.
    """

    signal: NDArray
    std: NDArray
    step_signal: NDArray
    step_std: NDArray
    posterior_x0: NDArray
    posterior_x: NDArray
    posterior_std: NDArray


class Draws(NamedTuple):
    """What is drawn for one pair and one fake an example: t [B] integers, latent [B, d], noises [B, ...].

    noise_prev: of x_t; noise: of the step to x_{t+1}; noise_posterior: of the fake x_t.
    """

    t: Array
    latent: Array
    noise_prev: Batch
    noise: Batch
    noise_posterior: Batch


def discretize(betas: Betas, first_beta: float = 0.0) -> DiscretizedProcess:
    """Compute the tables of a chain.

    signal_t = sqrt(prod_{i <= t} (1 - beta_i)),  std_t^2 = 1 - signal_t^2, and `posterior.gaussian`

    Args:
      betas: [T], as `betas.vp(4)`.
      first_beta: of a noising before x_0, which the posterior leaves out. The released code has 1e-8, but in its
        float32 that is nothing: x_0 is the data.
    Raises: ValueError when a beta is outside (0, 1) or first_beta outside [0, 1).
    Reference: Xiao et al. 2022, sections 2 and 3.2; Ho et al. 2020, Eq. 6 and 7.
    Example:
      >>> from jaxdiff.process.betas import vp
      >>> discretize(vp(4)).std.round(4).tolist()
      [0.0, 0.6916, 0.9599, 0.9983, 1.0]
    """
    if not 0 <= first_beta < 1:
        raise ValueError(f"first_beta must lie in [0, 1), got {first_beta}")
    table = tables(betas)
    signal = np.sqrt(np.cumprod(np.append(1 - first_beta, 1 - table.betas)))
    # Logarithms avoid cancellation error at a small std, as in `betas.sigmas`.
    with np.errstate(divide="ignore"):
        std = np.sqrt(-np.expm1(np.cumsum(np.append(np.log1p(-first_beta), np.log1p(-table.betas)))))
    return DiscretizedProcess(
        signal,
        std,
        np.sqrt(1 - table.betas),
        np.sqrt(table.betas),
        table.posterior_mean_coef1,
        table.posterior_mean_coef2,
        np.sqrt(table.posterior_variance),
    )


def diffuse(process: DiscretizedProcess, x0: Batch, t: Float[Array, "*B"], noise: Batch) -> Batch:
    """Diffuse data, x_t = signal_t x0 + std_t noise, t = 0 .. T.

    Args:
      process: from `discretize`.
      x0, noise: [B, ...]; t: integers, [] or [B].
    Raises: ValueError when the noise has another shape than x0.
    Example:
      >>> from jaxdiff.process.betas import vp
      >>> diffuse(discretize(vp(4)), jnp.ones((1, 2)), jnp.array([0]), jnp.ones((1, 2))).tolist()
      [[1.0, 1.0]]
    """
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    return _at(process.signal, t, x0) * x0 + _at(process.std, t, x0) * noise


def pair(
    process: DiscretizedProcess, x0: Batch, t: Float[Array, "*B"], noise_prev: Batch, noise: Batch
) -> tuple[Batch, Batch]:
    """Draw a pair (x_t, x_{t+1}), t = 0 .. T-1, the second one step from the first.

    x_{t+1} = step_signal_t x_t + step_std_t noise,  x_t by `diffuse`

    Args:
      process: from `discretize`.
      x0: [B, ...]; t: integers, [] or [B]; noise_prev, noise: of x_t and of the step, [B, ...].
    Returns: both [B, ...].
    Raises: ValueError when a noise has another shape than x0.
    Reference: Xiao et al. 2022, section 3.2, whose discriminator compares such pairs with fakes.
    Example:
      >>> x_prev, x = pair(discretize(np.array([0.75])), jnp.ones((1, 2)), jnp.array(0), *jnp.zeros((2, 1, 2)))
      >>> x_prev.tolist(), x.tolist()
      ([[1.0, 1.0]], [[0.5, 0.5]])
    """
    x_prev = diffuse(process, x0, t, noise_prev)
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    return x_prev, _at(process.step_signal, t, x0) * x_prev + _at(process.step_std, t, x0) * noise


def sample_posterior(process: DiscretizedProcess, x0: Batch, x: Batch, t: Float[Array, "*B"], noise: Batch) -> Batch:
    """Draw x_t from the posterior q(x_t | x_{t+1}, x0), given x = x_{t+1}; x0 itself at t = 0.

    posterior_x0 x0 + posterior_x x + posterior_std noise, the step of `samplers.ancestral()` in native coordinates

    Args:
      process: from `discretize`.
      x0: data or generated, and x, noise: [B, ...]; t: integers, [] or [B].
    Returns: [B, ...].
    Reference: Xiao et al. 2022, section 3.2.
    Example:
      >>> from jaxdiff.process.betas import vp
      >>> x = jnp.ones((1, 2))
      >>> sample_posterior(discretize(vp(4)), 3 * x, x, jnp.array([0]), x).tolist()
      [[3.0, 3.0]]
    """
    check_outputs(lambda x: x0, "the generator")(x)
    mean = _at(process.posterior_x0, t, x) * x0 + _at(process.posterior_x, t, x) * x
    return mean + _at(process.posterior_std, t, x) * noise


def direct(process: DiscretizedProcess, output: Batch, x: Batch, t: Float[Array, "*B"], noise: Batch) -> Batch:
    """Return the network's output as x_t, the ablation of the paper that predicts x_{t-1} itself.

    Args: as `sample_posterior`, with the output instead of x0.
    Reference: Xiao et al. 2022, section 5.2.
    Example:
      >>> direct(discretize(np.array([0.75])), jnp.ones(1), jnp.zeros(1), jnp.array([0]), jnp.zeros(1)).tolist()
      [1.0]
    """
    return output


def draw(key: Key, x0: Batch, num_steps: int, latent_dim: int) -> Draws:
    """Draw t uniformly over 0 .. T-1, and the latent and the noises from standard normals.

    Args:
      key: a PRNG key; x0: [B, ...], of which only the shape and type count.
      num_steps: T >= 1; latent_dim: >= 0.
    Raises: ValueError when num_steps is below 1.
    Reference: Xiao et al. 2022, section 3.2.
    Example:
      >>> [leaf.shape for leaf in draw(jax.random.key(0), jnp.zeros((3, 2)), num_steps=4, latent_dim=5)]
      [(3,), (3, 5), (3, 2), (3, 2), (3, 2)]
    """
    check_num_steps(num_steps)
    key_t, key_latent, key_noise = jax.random.split(key, 3)
    t = jax.random.randint(key_t, x0.shape[:1], 0, num_steps)
    latent = jax.random.normal(key_latent, (x0.shape[0], latent_dim), x0.dtype)
    return Draws(t, latent, *jax.random.normal(key_noise, (3, *x0.shape), x0.dtype))


def _at(table: NDArray, t: Array, x: Batch) -> Array:
    return expand(jnp.asarray(table, x.dtype)[t], x)
