"""One step of the learned reverse chain: the mean and the variance of p(x' | x), in the coordinates x = x0 + sigma * n.

    q(x' | x, x0) = N(x0 + r (x - x0), sigma'^2 (1 - r) I),  r = sigma'^2 / sigma^2

A `Reverse` puts a model's x0 in the place of the data and chooses a variance. The ancestral sampler draws from it, and
the variational bound compares it with q: both are given the same function.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, checked, expand, floating

Reverse = Callable[[Any, Batch, Array, Array], tuple[Batch, Array]]
"""reverse(model, x, sigma, sigma_next) -> (mean [B, ...], log-variance that broadcasts against it)."""
Variance = Callable[[Array, Array], Array]
"""variance(sigma, sigma_next), where sigma_next > 0."""
LearnedDenoiser = Callable[[Batch, Array], tuple[Batch, Batch]]
"""(x, sigma) -> (x0_hat, values), with one number a pixel that says what the variance is."""
FLOOR = 1e-20
"""Variance of the last step, into sigma = 0, where q's is 0 (Ho et al. 2020, in their released code)."""


def small(sigma: ArrayLike, sigma_next: ArrayLike) -> Array:
    """s'^2 (1 - s'^2 / s^2), the variance of q(x' | x, x0): right for data that are a single point.

    Reference: Ho et al. 2020, section 3.2 (beta-tilde), "fixed small".
    Example:
      >>> float(small(2.0, 1.0))
      0.75
    """
    sigma, sigma_next = floating(sigma), floating(sigma_next)
    return sigma_next**2 * (sigma - sigma_next) * (sigma + sigma_next) / sigma**2


def large(sigma: ArrayLike, sigma_next: ArrayLike) -> Array:
    """(s^2 - s'^2) (1 + s'^2) / (1 + s^2), which is beta_t: right for data ~ N(0, I).

    Reference: Ho et al. 2020, section 3.2, "fixed large".
    Example:
      >>> round(float(large(2.0, 1.0)), 6)
      1.2
    """
    sigma, sigma_next = floating(sigma), floating(sigma_next)
    return (sigma - sigma_next) * (sigma + sigma_next) * (1 + sigma_next**2) / (1 + sigma**2)


def fixed(variance: Variance = small, floor: float = FLOOR) -> Reverse:
    """p(x' | x) = N(x0_hat + r (x - x0_hat), variance(sigma, sigma')), x0_hat = D(x, sigma).

    Args:
      variance: `small`, `large` or any function of the two levels.
      floor: variance of the step into sigma = 0; the bound's decoder uses it, samplers do not. Nichol & Dhariwal 2021
        take `betas.tables(...).decoder_variance`.
    Returns: a Reverse for a Denoiser.
    Reference: Ho et al. 2020, Eq. 11.
    Example:
      >>> mean, log_variance = fixed()(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array(2.0), jnp.array(1.0))
      >>> mean.item(), round(float(jnp.exp(log_variance).item()), 6)
      (0.25, 0.75)
    """

    def reverse(denoise: Denoiser, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        log_variance = _log(variance, sigma, sigma_next, floor)
        return _mean(checked(denoise)(x, sigma), x, sigma, sigma_next), expand(log_variance, x)

    return reverse


def learned() -> Reverse:
    """The model's values are the log-variance of x_{t-1} itself.

    Returns: a Reverse for a `LearnedDenoiser`.
    Reference: Nichol & Dhariwal 2021, section 3.1, for why `learned_range` does better.
    """

    def reverse(model: LearnedDenoiser, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        x0_hat, values = checked(model, "model", counts=(2,))(x, sigma)
        # x = x_{t-1} sqrt(1 + s'^2): the published parametrisation is that of x_{t-1}.
        return _mean(x0_hat, x, sigma, sigma_next), values + expand(jnp.log1p(sigma_next**2), x)

    return reverse


def learned_range(floor: float = FLOOR) -> Reverse:
    """log variance = v log(large) + (1 - v) log(small) with v = (values + 1) / 2, pixel by pixel.

    Args:
      floor: stands for `small` in the step into sigma = 0, as in `fixed`.
    Returns: a Reverse for a `LearnedDenoiser`.
    Reference: Nichol & Dhariwal 2021, Eq. 15.
    Example:
      >>> model = lambda x, sigma: (0 * x, 0 * x - 1)  # v = 0 everywhere
      >>> _, log_variance = learned_range()(model, jnp.ones((1, 1)), jnp.array(2.0), jnp.array(1.0))
      >>> round(float(jnp.exp(log_variance).item()), 6)
      0.75
    """

    def reverse(model: LearnedDenoiser, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        x0_hat, values = checked(model, "model", counts=(2,))(x, sigma)
        low = expand(_log(small, sigma, sigma_next, floor), x)
        high = expand(jnp.log(large(sigma, sigma_next)), x)
        v = (values + 1) / 2
        return _mean(x0_hat, x, sigma, sigma_next), v * high + (1 - v) * low

    return reverse


def guided(reverse: Reverse, gradient: Denoiser, w: ArrayLike = 1.0) -> Reverse:
    """Shift the mean by w * variance * grad log p(y | x): classifier guidance of the ancestral step.

    Args:
      reverse: to guide.
      gradient: (x, sigma) -> grad_x log p(y | x; sigma), x = x0 + sigma * n, from `guidance.log_prob_gradient`.
      w: guidance scale, [] or [B].
    Reference: Dhariwal & Nichol 2021, Alg. 1, whose gradient is that of x_t = x / sqrt(1 + sigma^2). Their fixed small
      variance is 0 in the last step, where a `floor` moves the mean: `fixed()` has next to none.
    """

    def shifted(model: Any, x: Batch, sigma: Array, sigma_next: Array) -> tuple[Batch, Array]:
        mean, log_variance = reverse(model, x, sigma, sigma_next)
        rescaled = jnp.sqrt((1 + floating(sigma) ** 2) / (1 + floating(sigma_next) ** 2))
        shift = expand(w, x, "w") * expand(rescaled, x) * checked(gradient, "gradient")(x, sigma)
        return mean + jnp.exp(log_variance) * shift, log_variance

    return shifted


def _mean(x0: Batch, x: Batch, sigma: ArrayLike, sigma_next: ArrayLike) -> Batch:
    ratio = (expand(sigma_next, x) / expand(sigma, x)) ** 2
    return x0 + ratio * (x - x0)


def _log(variance: Variance, sigma: Array, sigma_next: Array, floor: float) -> Array:
    """log variance, floor where sigma' = 0; the unused branch stays finite, or its gradient would not be."""
    inner = sigma_next > 0
    return jnp.log(jnp.where(inner, variance(sigma, jnp.where(inner, sigma_next, sigma / 2)), floor))
