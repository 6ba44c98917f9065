"""Gaussian mixtures, for which the denoiser, the score, the density and hence the ODE are known exactly.

p(x0) = sum_k w_k N(x0; m_k, v_k I). Noised to level sigma, each variance becomes v_k + sigma^2, and that is all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxdiff.types import Array, ArrayLike, Batch, Float, Key


class Mixture(NamedTuple):
    """means [K, d], weights [K] or one row an example [B, K], variances [K]; float64 on the host, cast where used."""

    means: NDArray[np.float64]
    weights: NDArray[np.float64]
    variances: NDArray[np.float64]


def mixture(means: ArrayLike, weights: ArrayLike | None = None, variances: ArrayLike = 0.01) -> Mixture:
    """A mixture of K isotropic Gaussians in d dimensions.

    Args:
      means: [K, d].
      weights: [K], positive; equal where not given.
      variances: [K] or one for all, >= 0.
    Raises: ValueError when a shape or a sign is wrong.
    Example:
      >>> mixture([[-1.0, 0.0], [1.0, 0.0]]).weights.tolist()
      [0.5, 0.5]
    """
    means = np.asarray(means, np.float64)
    if means.ndim != 2:
        raise ValueError(f"means must be [K, d], got shape {list(means.shape)}")
    components = means.shape[0]
    weights = np.ones(components) if weights is None else np.asarray(weights, np.float64)
    variances = np.asarray(variances, np.float64)
    if weights.shape != (components,) or not np.all(weights > 0):
        raise ValueError(f"weights must be {components} positive numbers, got {weights.tolist()}")
    if variances.shape not in ((), (components,)) or not np.all(variances >= 0):
        raise ValueError(f"variances must be one or {components} numbers >= 0, got {variances.tolist()}")
    variances = np.broadcast_to(variances, (components,))
    return Mixture(means, weights / weights.sum(), variances)


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.1) -> Mixture:
    """Equal Gaussians on a circle, the usual picture of multimodal data.

    Example:
      >>> ring(4).means.shape
      (4, 2)
    """
    angle = 2 * np.pi * np.arange(modes) / modes
    return mixture(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), variances=std**2)


def sample(mixture: Mixture, key: Key, num: int) -> Batch:
    """Draw [num, d] points.

    Example:
      >>> sample(ring(), jax.random.key(0), 5).shape
      (5, 2)
    """
    key_component, key_normal = jax.random.split(key)
    component = jax.random.categorical(key_component, jnp.log(mixture.weights), shape=(num,))
    n = jax.random.normal(key_normal, (num, mixture.means.shape[1]))
    return jnp.asarray(mixture.means)[component] + jnp.sqrt(jnp.asarray(mixture.variances))[component, None] * n


def log_density(mixture: Mixture, x: Batch, sigma: ArrayLike = 0.0) -> Float[Array, " B"]:
    """log p(x; sigma) in nats, the density of x0 + sigma * n.

    Args:
      x: [B, d].
      sigma: [] or [B], >= 0, and > 0 where a variance is 0.
    Returns: [B].
    Example:
      >>> bool(jnp.isclose(log_density(mixture([[0.0]], variances=1.0), jnp.zeros((1, 1)))[0], -0.9189385))
      True
    """
    return jax.nn.logsumexp(_log_joint(mixture, x, sigma), axis=1)


def denoiser(mixture: Mixture, x: Batch, sigma: ArrayLike) -> Batch:
    """The exact D(x, sigma) = E[x0 | x] = sum_k r_k (v_k x + sigma^2 m_k) / (v_k + sigma^2), r = posterior of k.

    Use `functools.partial(denoiser, mixture)` as a Denoiser.
    Reference: Karras et al. 2022, Appendix B.3, for the limit v_k = 0; conjugacy of Gaussians for the rest.
    Example:
      >>> denoiser(mixture([[0.0]], variances=1.0), jnp.ones((1, 1)), 1.0).item()
      0.5
    """
    responsibility = jax.nn.softmax(_log_joint(mixture, x, sigma), axis=1)
    means, _, variances = _cast(mixture, x)
    noise_variance = _variance(sigma, x)
    total = variances + noise_variance
    pull = jnp.sum(responsibility * variances / total, axis=1, keepdims=True)
    return pull * x + jnp.matmul(responsibility * noise_variance / total, means, precision="highest")


def score(mixture: Mixture, x: Batch, sigma: ArrayLike) -> Batch:
    """grad_x log p(x; sigma) = sum_k r_k (m_k - x) / (v_k + sigma^2), which keeps its digits at small sigma, and is
    (D(x, sigma) - x) / sigma^2 elsewhere; sigma >= 0.

    Example:
      >>> score(mixture([[0.0]], variances=3.0), jnp.ones((1, 1)), 1.0).item()
      -0.25
    """
    responsibility = jax.nn.softmax(_log_joint(mixture, x, sigma), axis=1)
    means, _, variances = _cast(mixture, x)
    precision = responsibility / (variances + _variance(sigma, x))
    return jnp.matmul(precision, means, precision="highest") - jnp.sum(precision, axis=1, keepdims=True) * x


def denoising(mixture: Mixture, x: ArrayLike, sigma: float, sigma_next: float) -> Mixture:
    """The true q(x' | x) for a step of any size down from sigma: again a mixture, and a Gaussian for small steps only.

    With V = v_k + s'^2 and W = v_k + s^2, component k has the posterior weight w_k N(x; m_k, W I) of `denoiser`, the
    mean m_k + V / W (x - m_k) and the variance V (s^2 - s'^2) / W.

    Args:
      mixture: of the data, with weights [K]; x: one point [d] at sigma; sigma, sigma_next: s > s' >= 0.
    Returns: the mixture over x', for `log_density` and `sample`; at s' = 0 it is p(x0 | x).
    Raises: ValueError when the shape or the levels do not fit.
    Reference: Xiao et al. 2022, Figure 2, whose closed form this is; Bayes' rule for x = x' + sqrt(s^2 - s'^2) n.
    Example:
      >>> q = denoising(mixture([[-1.0], [1.0]]), [0.0], sigma=2.0, sigma_next=0.0)
      >>> q.weights.tolist(), q.means.round(4).tolist()
      ([0.5, 0.5], [[-0.9975], [0.9975]])
    """
    means, weights, variances = mixture
    x = np.asarray(x, np.float64)
    if x.shape != means.shape[1:] or weights.ndim != 1:
        raise ValueError(f"x must be one point [{means.shape[1]}] of a mixture with weights [K], got {list(x.shape)}")
    if not sigma > sigma_next >= 0:
        raise ValueError(f"sigma must be above sigma_next, and that not negative, got {sigma} and {sigma_next}")
    low, high = variances + sigma_next**2, variances + sigma**2
    log_weights = np.log(weights) - np.sum((x - means) ** 2, axis=1) / (2 * high) - means.shape[1] / 2 * np.log(high)
    posterior = np.exp(log_weights - log_weights.max())
    shrink = low / high
    return Mixture(
        means + shrink[:, None] * (x - means),
        posterior / posterior.sum(),
        shrink * (sigma - sigma_next) * (sigma + sigma_next),
    )


def moments(mixture: Mixture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each coordinate, [d] both: the Gaussian that fits best, in the sense of maximum likelihood.

    Example:
      >>> [a.round(6).tolist() for a in moments(mixture([[-1.0], [1.0]]))]
      [[0.0], [1.01]]
    """
    means, weights, variances = mixture
    mean = weights @ means
    return mean, weights @ (variances[:, None] + (means - mean) ** 2)


def scaled(mixture: Mixture, factor: float) -> Mixture:
    """The law of factor * x, such as 1 / sqrt(1 + sigma^2) for the coordinates of x_t.

    Example:
      >>> scaled(mixture([[2.0]], variances=1.0), 0.5)
      Mixture(means=array([[1.]]), weights=array([1.]), variances=array([0.25]))
    """
    return Mixture(factor * mixture.means, mixture.weights, factor**2 * mixture.variances)


def _cast(mixture: Mixture, x: Batch) -> tuple[Array, Array, Array]:
    """means [K, d], weights [1 or B, K] and variances [1, K] in the type of x."""
    means, weights, variances = (jnp.asarray(a, x.dtype) for a in mixture)
    return means, weights.reshape(-1, means.shape[0]), variances[None]


def _variance(sigma: ArrayLike, x: Batch) -> Array:
    """sigma^2 as [1 or B, 1] in the type of x."""
    return jnp.square(jnp.asarray(sigma, x.dtype)).reshape(-1, 1)


def _log_joint(mixture: Mixture, x: Batch, sigma: ArrayLike) -> Float[Array, "B K"]:
    """log w_k + log N(x; m_k, (v_k + sigma^2) I)."""
    means, weights, variances = _cast(mixture, x)
    dim = means.shape[1]
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"x must be [B, {dim}] for this mixture, got shape {list(x.shape)}")
    total = variances + _variance(sigma, x)
    squared = jnp.sum(jnp.square(x[:, None] - means[None]), axis=2)
    return jnp.log(weights) - squared / (2 * total) - dim / 2 * jnp.log(2 * jnp.pi * total)
