"""The reverse kernel p(x' | x) of a learned chain: its mean and its variance, in the coordinates x = x0 + sigma * n.

    p(x' | x) = N(x0_hat + r (x - x0_hat), variance I),  r = sigma'^2 / sigma^2

It is `posterior` q(x' | x, x0) with a model's x0_hat as x0 and a variance of choice. The ancestral sampler draws from
it, and the variational bound compares it with q: both take the same function. To add a variance, write a `Variance`.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxdiff.process import posterior
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, as_floating, check_outputs, expand

ReverseKernel = Callable[[Any, Batch, Array, Array], tuple[Batch, Array]]
"""kernel(model, x, sigma, sigma_next) -> (mean [B, ...], log-variance that broadcasts against it)."""
Variance = Callable[[Array, Array], Array]
"""variance(sigma, sigma_next), where sigma_next > 0."""
LearnedDenoiser = Callable[[Batch, Array], tuple[Batch, Batch]]
"""(x, sigma) -> (x0_hat, values), with one number a pixel that says what the variance is."""
FLOOR = 1e-20
"""Variance of the last step, into sigma = 0, where q's is 0 (Ho et al. 2020, in their released code)."""


def small(sigma: ArrayLike, sigma_next: ArrayLike) -> Array:
    """Compute the variance of the posterior, s'^2 (1 - s'^2 / s^2): right for data that are a single point.

    Args:
      sigma, sigma_next: s and s', [] or [B], s > s' >= 0.
    Reference: Ho et al. 2020, section 3.2 (beta-tilde), "fixed small".
    Example:
      >>> float(small(2.0, 1.0))
      0.75
    """
    return posterior.between(sigma, sigma_next).variance


def large(sigma: ArrayLike, sigma_next: ArrayLike) -> Array:
    """Compute beta_t as a variance, (s^2 - s'^2) (1 + s'^2) / (1 + s^2): right for data ~ N(0, I).

    Args: as `small`.
    Reference: Ho et al. 2020, section 3.2, "fixed large".
    Example:
      >>> round(float(large(2.0, 1.0)), 6)
      1.2
    """
    sigma, sigma_next = as_floating(sigma), as_floating(sigma_next)
    return (sigma - sigma_next) * (sigma + sigma_next) * (1 + sigma_next**2) / (1 + sigma**2)


def fixed(variance: Variance = small, floor: float = FLOOR) -> ReverseKernel:
    """Make a reverse kernel whose variance does not depend on x.

    p(x' | x) = N(x0_hat + r (x - x0_hat), variance(sigma, sigma')),  x0_hat = D(x, sigma)

    Args:
      variance: `small`, `large` or any function of the two levels.
      floor: variance of the step into sigma = 0; the bound's decoder uses it, samplers do not. Nichol & Dhariwal 2021
        take `betas.tables(...).decoder_variance`.
    Returns: a ReverseKernel for a Denoiser.
    Reference: Ho et al. 2020, Eq. 11.
    Example:
      >>> mean, log_variance = fixed()(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array(2.0), jnp.array(1.0))
      >>> mean.item(), round(float(jnp.exp(log_variance).item()), 6)
      (0.25, 0.75)
    """

    def kernel(denoise: Denoiser, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        log_variance = _log(variance, sigma, sigma_next, floor)
        return posterior.mean(check_outputs(denoise)(x, sigma), x, sigma, sigma_next), expand(log_variance, x)

    return kernel


def learned() -> ReverseKernel:
    """Make a reverse kernel whose log-variance, in the coordinates of x_{t-1}, is the model's values.

    Returns: a ReverseKernel for a `LearnedDenoiser`.
    Reference: Nichol & Dhariwal 2021, section 3.1, for why `learned_range` does better.
    Example: the variance of x_{t-1} is 1, that of x' = x_{t-1} sqrt(1 + s'^2) is 2
      >>> model = lambda x, sigma: (0 * x, 0 * x)
      >>> _, log_variance = learned()(model, jnp.ones((1, 1)), jnp.array(2.0), jnp.array(1.0))
      >>> round(float(jnp.exp(log_variance).item()), 6)
      2.0
    """

    def kernel(model: LearnedDenoiser, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        x0_hat, values = check_outputs(model, "model", counts=(2,))(x, sigma)
        # x = x_{t-1} sqrt(1 + s'^2): the published parametrisation is that of x_{t-1}.
        return posterior.mean(x0_hat, x, sigma, sigma_next), values + expand(jnp.log1p(sigma_next**2), x)

    return kernel


def learned_range(floor: float = FLOOR) -> ReverseKernel:
    """Make a reverse kernel that interpolates between `small` and `large`, pixel by pixel.

    log variance = v log(large) + (1 - v) log(small),  v = (values + 1) / 2

    Args:
      floor: replaces `small` in the step into sigma = 0, as in `fixed`.
    Returns: a ReverseKernel for a `LearnedDenoiser`.
    Reference: Nichol & Dhariwal 2021, Eq. 15.
    Example:
      >>> model = lambda x, sigma: (0 * x, 0 * x - 1)  # v = 0 everywhere
      >>> _, log_variance = learned_range()(model, jnp.ones((1, 1)), jnp.array(2.0), jnp.array(1.0))
      >>> round(float(jnp.exp(log_variance).item()), 6)
      0.75
    """

    def kernel(model: LearnedDenoiser, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        x0_hat, values = check_outputs(model, "model", counts=(2,))(x, sigma)
        low = expand(_log(small, sigma, sigma_next, floor), x)
        high = expand(jnp.log(large(sigma, sigma_next)), x)
        v = (values + 1) / 2
        return posterior.mean(x0_hat, x, sigma, sigma_next), v * high + (1 - v) * low

    return kernel


def guided(kernel: ReverseKernel, gradient: Denoiser, w: ArrayLike = 1.0) -> ReverseKernel:
    """Guide a reverse kernel by a classifier: its mean shifts by w * variance * grad log p(y | x).

    Args:
      kernel: to guide.
      gradient: (x, sigma) -> grad_x log p(y | x; sigma), x = x0 + sigma * n, from `guidance.log_prob_gradient`.
      w: guidance scale, [] or [B].
    Reference: Dhariwal & Nichol 2021, Alg. 1, whose gradient is that of x_t = x / sqrt(1 + sigma^2). Their fixed small
      variance is 0 in the last step, where a `floor` moves the mean: `fixed()` has next to none.
    Example: from x' ~ N(0.25, 0.75) with a gradient of 1 at x_t = x / sqrt(5)
      >>> shifted = guided(fixed(), lambda x, sigma: jnp.ones_like(x))
      >>> mean, _ = shifted(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array(2.0), jnp.array(1.0))
      >>> bool(jnp.isclose(mean.item(), 0.25 + 0.75 * (5 / 2) ** 0.5))
      True
    """

    def shifted(model: Any, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        mean, log_variance = kernel(model, x, sigma, sigma_next)
        rescaled = jnp.sqrt((1 + as_floating(sigma) ** 2) / (1 + as_floating(sigma_next) ** 2))
        shift = expand(w, x, "w") * expand(rescaled, x) * check_outputs(gradient, "gradient")(x, sigma)
        return mean + jnp.exp(log_variance) * shift, log_variance

    return shifted


def _log(variance: Variance, sigma: Array, sigma_next: Array, floor: float) -> Array:
    """log variance, floor where sigma' = 0; the unused branch stays finite, or its gradient would not be."""
    inner = sigma_next > 0
    return jnp.log(jnp.where(inner, variance(sigma, jnp.where(inner, sigma_next, sigma / 2)), floor))
