"""The Gaussian posterior q(x_{t-1} | x_t, x_0) of a forward process, which DDPM, DDIM, VDM and DDGAN all sample.

    x' ~ N(signal x0, variance I),  x = step_signal x' + sqrt(step_variance) n
    q(x' | x, x0) = N(of_x0 x0 + of_x x, variance I)

In the library's coordinates x = x0 + sigma n both signals are 1, and with s = sigma and s' = sigma_next

    q(x' | x, x0) = N(x0 + r (x - x0), s'^2 (1 - r) I),  r = s'^2 / s^2

Reference: Sohl-Dickstein et al. 2015; Ho et al. 2020, Eq. 6 and 7; Kingma et al. 2021, Appendix A.
"""

from typing import Any, NamedTuple

from jaxdiff.types import ArrayLike, Batch, as_floating, check_positive, expand


class Posterior(NamedTuple):
    """q(x' | x, x0): its mean is of_x0 x0 + of_x x, and its variance that of every number."""

    of_x0: Any
    of_x: Any
    variance: Any


def gaussian(signal: Any, variance: Any, step_signal: Any, step_variance: Any) -> Posterior:
    """Compute q(x' | x, x0) of any linear Gaussian step.

    of_x0 = signal step_variance / total     of_x = step_signal variance / total
    variance' = variance step_variance / total,  total = step_signal^2 variance + step_variance, the variance of x

    Args:
      signal, variance: of x' given x0; step_signal, step_variance: of x given x'. NumPy or JAX arrays that broadcast.
    Returns: a Posterior of arrays of their kind; no difference is taken, which avoids cancellation error.
    Example: x' ~ N(x0, 1) and x ~ N(x', 1) weigh alike
      >>> gaussian(1.0, 1.0, 1.0, 1.0)
      Posterior(of_x0=0.5, of_x=0.5, variance=0.5)
    """
    total = step_signal**2 * variance + step_variance
    return Posterior(signal * step_variance / total, step_signal * variance / total, variance * step_variance / total)


def between(sigma: ArrayLike, sigma_next: ArrayLike) -> Posterior:
    """Compute q(x' | x, x0) between two levels: of_x = r and of_x0 = 1 - r.

    Args:
      sigma: level of x, > 0; sigma_next: level of x', in [0, sigma). Both [] or [B].
    Returns: a Posterior of arrays; at sigma_next = 0 it is x0 itself.
    Example:
      >>> [float(part) for part in between(2.0, 1.0)]
      [0.75, 0.25, 0.75]
    """
    high, low = as_floating(sigma), as_floating(sigma_next)
    return gaussian(1.0, low**2, 1.0, (high - low) * (high + low))


def mean(x0: Batch, x: Batch, sigma: ArrayLike, sigma_next: ArrayLike) -> Batch:
    """Compute the posterior mean x0 + r (x - x0).

    Args:
      x0, x: [B, ...]; sigma, sigma_next: as for `between`.
    Returns: [B, ...].
    Raises: ValueError when a sigma on the host is not positive.
    Reference: Ho et al. 2020, Eq. 7.
    Example:
      >>> import jax.numpy as jnp
      >>> mean(jnp.zeros((1, 1)), jnp.ones((1, 1)), 2.0, 1.0).item()
      0.25
    """
    return x0 + between(expand(check_positive(sigma), x), expand(sigma_next, x)).of_x * (x - x0)
