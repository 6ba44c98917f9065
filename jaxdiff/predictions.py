"""What a network predicts: a pair (c_skip, c_out) says how x0 follows from it, and it from x0.

    x0 = c_skip(sigma) x + c_out(sigma) F

With x = x0 + sigma n and the variance-preserving view x_t = alpha x, alpha = 1 / sqrt(1 + sigma^2):

| prediction | F | c_skip | c_out |
|---|---|---|---|
| `eps` | n | 1 | -sigma |
| `x0` | x0 | 0 | 1 |
| `v` | alpha n - sqrt(1 - alpha^2) x0 | 1 / (1 + sigma^2) | -sigma / sqrt(1 + sigma^2) |
| `score` | grad_x log p(x; sigma) | 1 | sigma^2 |

Ho et al. 2020 predict eps, Salimans & Ho 2022 v; score is Tweedie's formula (Karras et al. 2022, Eq. 3). The mean of
x_{t-1}, which depends on the next level too, is `precond.ddpm.mu`. To add a prediction, write its pair; `precond` makes
a preconditioning of it.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax.numpy as jnp

from jaxdiff.types import Array, ArrayLike, Batch, as_floating, check_positive, expand

Coefficient = Callable[[Array], Array]
"""A function of sigma, number by number."""


class Parametrisation(Protocol):
    """Anything with these two coefficients: a `Prediction` or a `precond.Preconditioning`."""

    @property
    def c_skip(self) -> Coefficient:
        """Factor on x."""

    @property
    def c_out(self) -> Coefficient:
        """Factor on F."""


class Prediction(NamedTuple):
    """x0 = c_skip(sigma) x + c_out(sigma) F."""

    c_skip: Coefficient
    c_out: Coefficient


eps = Prediction(jnp.ones_like, lambda sigma: -as_floating(sigma))
"""The noise n, with x0 = x - sigma eps: Ho et al. 2020."""

x0 = Prediction(jnp.zeros_like, jnp.ones_like)
"""The clean image itself."""

v = Prediction(
    lambda sigma: 1 / (1 + as_floating(sigma) ** 2),
    lambda sigma: -as_floating(sigma) / jnp.sqrt(1 + as_floating(sigma) ** 2),
)
"""The velocity alpha n - sqrt(1 - alpha^2) x0, alpha = 1 / sqrt(1 + sigma^2): Salimans & Ho 2022."""

score = Prediction(jnp.ones_like, lambda sigma: as_floating(sigma) ** 2)
"""The score grad_x log p(x; sigma), with x0 = x + sigma^2 score: Tweedie's formula, Karras et al. 2022, Eq. 3."""


def to_x0(prediction: Parametrisation, value: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """Compute x0 from a predicted value, c_skip x + c_out value.

    Args:
      prediction: such as `eps`, or a preconditioning.
      value: what was predicted, [B, ...]; x: x0 + sigma n, [B, ...].
      sigma: [] or [B].
    Returns: [B, ...].
    Example:
      >>> x0_true, n, sigma = jnp.array([[1.0]]), jnp.array([[-2.0]]), 3.0
      >>> to_x0(eps, n, x0_true + sigma * n, sigma).item()
      1.0
    """
    sigma = jnp.asarray(sigma)
    return expand(prediction.c_skip(sigma), x) * x + expand(prediction.c_out(sigma), x) * value


def from_x0(prediction: Parametrisation, x0: Batch, x: Batch, sigma: ArrayLike) -> Batch:
    """Compute the value that predicts x0, (x0 - c_skip x) / c_out; at small sigma with cancellation error.

    Args:
      prediction, x, sigma: as for `to_x0`; sigma > 0.
      x0: [B, ...].
    Returns: [B, ...].
    Raises: ValueError when a sigma on the host is not positive.
    Example:
      >>> x0_true, n, sigma = jnp.array([[1.0]]), jnp.array([[-2.0]]), 3.0
      >>> from_x0(eps, x0_true, x0_true + sigma * n, sigma).item()
      -2.0
    """
    sigma = jnp.asarray(check_positive(sigma))
    return (x0 - expand(prediction.c_skip(sigma), x) * x) / expand(prediction.c_out(sigma), x)
