"""Losses on what the network itself returns: L_simple for any prediction, L_vlb, and their hybrid."""

import jax
import jax.numpy as jnp

from jaxdiff.losses.elbo import HVAE, diffuse, level_term
from jaxdiff.losses.likelihood import bits_per_dim
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, Batch, Float, expand


def raw_target(precond: Preconditioning, x0: Batch, sigma: Float[Array, " B"], noise: Batch) -> Batch:
    """What F must return for D to return x0: (x0 - c_skip x) / c_out, written so that nothing cancels.

    T = ((1 - c_skip) x0 - c_skip sigma n) / c_out, which is n for eps, x0 for x0, alpha n - sqrt(1 - alpha^2) x0 for v
    and the mean of q(x_{t-1} | x_t, x0) for mu.

    Args:
      precond: the row; x0, noise: [B, ...]; sigma: [B], > 0.
    Example:
      >>> from jaxdiff import betas, chain
      >>> row = chain.eps(betas.linear(1000))
      >>> raw_target(row, jnp.ones((1, 1)), jnp.array([0.01]), jnp.full((1, 1), 3.0)).item()
      3.0
    """
    c_skip, c_out = expand(precond.c_skip(sigma), x0), expand(precond.c_out(sigma), x0)
    return ((1 - c_skip) * x0 - c_skip * expand(sigma, x0) * noise) / c_out


def simple_loss(
    f: Batch, precond: Preconditioning, x0: Batch, sigma: Float[Array, " B"], noise: Batch
) -> Float[Array, " B"]:
    """mean over pixels of (F - T)^2: L_simple, whatever F predicts.

    Args:
      f: output of the network for c_in * (x0 + sigma n), [B, ...] without the channels of a learned variance.
      precond, x0, sigma, noise: as `raw_target`.
    Returns: [B].
    Raises: ValueError when f has another shape than x0.
    Reference: Ho et al. 2020, Eq. 14.
    Example:
      >>> from jaxdiff import betas, chain
      >>> x0 = jnp.ones((1, 2))
      >>> simple_loss(x0 + 2, chain.x0(betas.linear(50)), x0, jnp.ones(1), x0).tolist()
      [4.0]
    """
    if f.shape != x0.shape:
        raise ValueError(f"f must have the shape of x0, {list(x0.shape)}, got {list(f.shape)}")
    error = jnp.square(f - raw_target(precond, x0, sigma, noise))
    return jnp.mean(error, axis=tuple(range(1, x0.ndim)))


def vlb_loss(hvae: HVAE, x0: Batch, t: Array, noise: Batch) -> Float[Array, " B"]:
    """One term of the variational bound in bits per dimension, for a random step t.

    Args:
      hvae: from `elbo.diffusion`; x0: [B, ...]; t: [B] in 0 .. T-1; noise: [B, ...].
    Returns: [B]; T times its mean over uniform t estimates the bound without its prior term.
    Reference: Nichol & Dhariwal 2021, Eq. 4 to 7.
    """
    nats = level_term(hvae, x0, t, diffuse(hvae, x0, t, noise))
    return bits_per_dim(nats, x0[0].size)


def hybrid_loss(simple: Array, vlb: Array, num_steps: int) -> Array:
    """L_hybrid = L_simple + T / 1000 * L_vlb, per example.

    The bound is to teach the variance only: give `vlb_loss` a model whose mean is `stop_mean`.
    Reference: Nichol & Dhariwal 2021, Eq. 16: 0.001 times the sum over T steps, of which vlb is one.
    """
    return simple + num_steps / 1000 * vlb


def stop_mean(f: Batch, channels: int) -> Batch:
    """The same output, whose first channels pass no gradient.

    Example:
      >>> jax.grad(lambda f: stop_mean(f, 1).sum())(jnp.ones((1, 2))).tolist()
      [[0.0, 1.0]]
    """
    return jnp.concatenate([jax.lax.stop_gradient(f[..., :channels]), f[..., channels:]], axis=-1)
