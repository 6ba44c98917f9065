"""One posterior mean in the five ways in which the papers let a network predict it.

With x = x0 + sigma * n and the variance-preserving view x_t = alpha * x, alpha = 1 / sqrt(1 + sigma^2):

    eps = n                             Ho et al. 2020
    v = alpha * n - sqrt(1 - alpha^2) * x0    Salimans & Ho 2022
    score = grad_x log p(x; sigma) = (D(x, sigma) - x) / sigma^2
    mu = E[x' | x, x0], the mean one step down, at sigma_next

Each function takes x [B, ...] and sigma [] or [B] (> 0, in data units) and maps [B, ...] to [B, ...].
Where a level divides, one on the host that is not positive is a ValueError.
"""

import jax.numpy as jnp

from jaxdiff.types import ArrayLike, Batch, expand, positive


def eps_from_x0(x0: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """eps = (x - x0) / sigma.

    Example:
      >>> x0, n, sigma = jnp.array([[1.0]]), jnp.array([[-2.0]]), 3.0
      >>> eps_from_x0(x0, x0 + sigma * n, sigma).item()
      -2.0
    """
    return (x - x0) / expand(positive(sigma), x)


def x0_from_eps(eps: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """x0 = x - sigma * eps."""
    return x - expand(sigma, x) * eps


def score_from_x0(x0: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """score = (x0 - x) / sigma^2 (Tweedie; Karras et al. 2022, Eq. 3)."""
    return (x0 - x) / expand(positive(sigma), x) ** 2


def x0_from_score(score: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """x0 = x + sigma^2 * score."""
    return x + expand(sigma, x) ** 2 * score


def v_from_x0(x0: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """v = ((x - x0) / sigma - sigma * x0) / sqrt(1 + sigma^2)."""
    sigma = expand(positive(sigma), x)
    return ((x - x0) / sigma - sigma * x0) / jnp.sqrt(1 + sigma**2)


def x0_from_v(v: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """x0 = x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) * v."""
    sigma = expand(sigma, x)
    return x / (1 + sigma**2) - sigma / jnp.sqrt(1 + sigma**2) * v


def mu_from_x0(x0: Batch, x: Batch, sigma: ArrayLike, sigma_next: ArrayLike) -> Batch:
    """mu = x0 + sigma_next^2 / sigma^2 * (x - x0), the mean of q(x' | x, x0) (Ho et al. 2020, Eq. 7).

    Args:
      sigma_next: level one step down, [] or [B], 0 <= sigma_next < sigma.
    """
    ratio = (expand(sigma_next, x) / expand(positive(sigma), x)) ** 2
    return x0 + ratio * (x - x0)


def x0_from_mu(mu: Batch, x: Batch, sigma: ArrayLike, sigma_next: ArrayLike) -> Batch:
    """x0 = (mu - r * x) / (1 - r), r = sigma_next^2 / sigma^2."""
    ratio = (expand(sigma_next, x) / expand(positive(sigma), x)) ** 2
    return (mu - ratio * x) / (1 - ratio)
