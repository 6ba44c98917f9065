"""Losses on the network's own output: L_simple for any parametrisation, L_vlb, and their hybrid."""

import jax
import jax.numpy as jnp

from jaxdiff.losses.bits import bits_per_dim
from jaxdiff.losses.elbo import HVAE, layer_term, sample_latent
from jaxdiff.losses.per_example import check_shape, mean_pixels
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, Batch, Float, expand


def raw_target(precond: Preconditioning, x0: Batch, sigma: Float[Array, " B"], noise: Batch) -> Batch:
    """Compute the output of F for which D returns x0: T = (x0 - c_skip x) / c_out.

    Evaluated as T = ((1 - c_skip) x0 - c_skip sigma n) / c_out, which avoids cancellation error: n for eps, x0 for
    x0, alpha n - sqrt(1 - alpha^2) x0 for v, the mean of q(x_{t-1} | x_t, x0) for mu.

    Args:
      precond: the parametrisation; x0, noise: [B, ...]; sigma: [B], > 0.
    Returns: [B, ...].
    Reference: Karras et al. 2022, Eq. 8; Salimans & Ho 2022 (2202.00512), section 4, for v.
    Example:
      >>> from jaxdiff.precond import ddpm
      >>> from jaxdiff.process import betas
      >>> eps = ddpm.eps(betas.linear(1000))
      >>> raw_target(eps, jnp.ones((1, 1)), jnp.array([0.01]), jnp.full((1, 1), 3.0)).item()
      3.0
    """
    c_skip, c_out = expand(precond.c_skip(sigma), x0), expand(precond.c_out(sigma), x0)
    return ((1 - c_skip) * x0 - c_skip * expand(sigma, x0) * noise) / c_out


def simple_loss(
    f: Batch, precond: Preconditioning, x0: Batch, sigma: Float[Array, " B"], noise: Batch
) -> Float[Array, " B"]:
    """Compute L_simple, the mean over pixels of (F - T)^2, whatever F predicts.

    Args:
      f: output of the network for c_in * (x0 + sigma n), [B, ...] without the channels of a learned variance.
      precond, x0, sigma, noise: as `raw_target`.
    Returns: [B].
    Raises: ValueError when f has another shape than x0.
    Reference: Ho et al. 2020, Eq. 14, for eps.
    Example:
      >>> from jaxdiff.precond import ddpm
      >>> from jaxdiff.process import betas
      >>> x0 = jnp.ones((1, 2))
      >>> simple_loss(x0 + 2, ddpm.x0(betas.linear(50)), x0, jnp.ones(1), x0).tolist()
      [4.0]
    """
    check_shape(f, x0, "f")
    return mean_pixels(jnp.square(f - raw_target(precond, x0, sigma, noise)))


def vlb_loss(hvae: HVAE, x0: Batch, t: Array, noise: Batch) -> Float[Array, " B"]:
    """Compute one term of the variational bound in bits per dimension, that of a random step t.

    Args:
      hvae: from `elbo.ddpm_hvae`; x0: [B, ...]; t: [B] in 0 .. T-1; noise: n ~ N(0, I), [B, ...].
    Returns: [B]; T times its mean over uniform t estimates the bound without its prior term.
    Raises: ValueError when a step on the host is not in 0 .. T-1.
    Reference: Nichol & Dhariwal 2021, Eq. 4 to 7.
    Example: where x0, the noise and D are 0 and the variance is that of q, step 1 costs nothing
      >>> from jaxdiff.losses.gaussian import normal_log_prob
      >>> from jaxdiff.losses import elbo
      >>> from jaxdiff.process import betas, reverse_kernel
      >>> zero = lambda x, sigma: 0 * x
      >>> hvae = elbo.ddpm_hvae(betas.cosine(4), reverse_kernel.fixed(), zero, normal_log_prob)
      >>> abs(round(vlb_loss(hvae, jnp.zeros((1, 2)), jnp.array([1]), jnp.zeros((1, 2))).item(), 5))
      0.0
    """
    nats = layer_term(hvae, x0, t, sample_latent(hvae, x0, t, noise))
    return bits_per_dim(nats, x0[0].size)


def hybrid_loss(simple: Array, vlb: Array, num_steps: int) -> Array:
    """Compute L_hybrid = L_simple + T / 1000 L_vlb, per example.

    The bound trains the variance only: give `vlb_loss` a model whose output is `stop_mean` of the network's.

    Args:
      simple: from `simple_loss`, [B]; vlb: from `vlb_loss`, [B]; num_steps: T.
    Returns: [B].
    Reference: Nichol & Dhariwal 2021, Eq. 16: 0.001 times the sum over T steps, of which vlb is one.
    Example:
      >>> hybrid_loss(1.0, 0.5, num_steps=4000)
      3.0
    """
    return simple + num_steps / 1000 * vlb


def stop_mean(f: Batch, channels: int) -> Batch:
    """Stop the gradient of the first channels of an output, those of the mean.

    Args:
      f: [B, ..., C]; channels: how many are stopped, from the first on.
    Returns: f.
    Reference: Nichol & Dhariwal 2021, section 3.1: the bound is not to guide the mean.
    Example:
      >>> jax.grad(lambda f: stop_mean(f, 1).sum())(jnp.ones((1, 2))).tolist()
      [[0.0, 1.0]]
    """
    return jnp.concatenate([jax.lax.stop_gradient(f[..., :channels]), f[..., channels:]], axis=-1)
