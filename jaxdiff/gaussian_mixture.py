"""Gaussian mixtures, for which the denoiser, the score, the density and hence the ODE have closed forms.

p(x0) = sum_k w_k N(x0; m_k, v_k I). Noised to level sigma, each variance becomes v_k + sigma^2, and that is all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxdiff.process.posterior import gaussian
from jaxdiff.types import Array, ArrayLike, Batch, Float, Key


class Mixture(NamedTuple):
    """means [K, d], weights [K] or one row an example [B, K], variances [K]; float64 on the host, cast where used."""

    means: NDArray[np.float64]
    weights: NDArray[np.float64]
    variances: NDArray[np.float64]


def mixture(means: ArrayLike, weights: ArrayLike | None = None, variances: ArrayLike = 0.01) -> Mixture:
    """Make a mixture of K isotropic Gaussians in d dimensions.

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
    """Place equal Gaussians on a circle, the usual picture of multimodal data.

    Args:
      modes: how many; radius: of the circle; std: of each Gaussian.
    Example:
      >>> np.linalg.norm(ring(4).means, axis=1).round(6).tolist()
      [1.0, 1.0, 1.0, 1.0]
    """
    angle = 2 * np.pi * np.arange(modes) / modes
    return mixture(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), variances=std**2)


def sample(mixture: Mixture, key: Key, num: int) -> Batch:
    """Draw [num, d] points.

    Args:
      mixture: with weights [K]; key: a PRNG key; num: how many.
    Example:
      >>> x = sample(ring(radius=1.0, std=1e-4), jax.random.key(0), 5)
      >>> bool(jnp.allclose(jnp.linalg.norm(x, axis=1), 1, atol=1e-2))
      True
    """
    key_component, key_normal = jax.random.split(key)
    component = jax.random.categorical(key_component, jnp.log(mixture.weights), shape=(num,))
    n = jax.random.normal(key_normal, (num, mixture.means.shape[1]))
    return jnp.asarray(mixture.means)[component] + jnp.sqrt(jnp.asarray(mixture.variances))[component, None] * n


def log_density(mixture: Mixture, x: Batch, sigma: ArrayLike = 0.0) -> Float[Array, " B"]:
    """Compute log p(x; sigma) in nats, the density of x0 + sigma * n.

    Args:
      mixture: of x0.
      x: [B, d].
      sigma: [] or [B], >= 0, and > 0 where a variance is 0.
    Returns: [B].
    Example:
      >>> bool(jnp.isclose(log_density(mixture([[0.0]], variances=1.0), jnp.zeros((1, 1)))[0], -0.9189385))
      True
    """
    return jax.nn.logsumexp(_log_joint(mixture, x, sigma), axis=1)


def denoiser(mixture: Mixture, x: Batch, sigma: ArrayLike) -> Batch:
    """Compute the exact denoiser; `functools.partial(denoiser, mixture)` is a Denoiser.

    D(x, sigma) = E[x0 | x] = sum_k r_k (v_k x + sigma^2 m_k) / (v_k + sigma^2),  r = posterior of k

    Args:
      mixture: of x0; x: [B, d]; sigma: [] or [B], > 0.
    Returns: [B, d].
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
    """Compute the exact score, without the cancellation error of (D(x, sigma) - x) / sigma^2 at small sigma.

    grad_x log p(x; sigma) = sum_k r_k (m_k - x) / (v_k + sigma^2)

    Args:
      mixture: of x0; x: [B, d]; sigma: [] or [B], >= 0.
    Returns: [B, d].
    Example:
      >>> score(mixture([[0.0]], variances=3.0), jnp.ones((1, 1)), 1.0).item()
      -0.25
    """
    responsibility = jax.nn.softmax(_log_joint(mixture, x, sigma), axis=1)
    means, _, variances = _cast(mixture, x)
    precision = responsibility / (variances + _variance(sigma, x))
    return jnp.matmul(precision, means, precision="highest") - jnp.sum(precision, axis=1, keepdims=True) * x


def denoising(mixture: Mixture, x: ArrayLike, sigma: float, sigma_next: float) -> Mixture:
    """Compute the true q(x' | x) for a step of any size down: again a mixture, and a Gaussian for small steps only.

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
    high = variances + sigma**2
    log_weights = np.log(weights) - np.sum((x - means) ** 2, axis=1) / (2 * high) - means.shape[1] / 2 * np.log(high)
    posterior_weights = np.exp(log_weights - log_weights.max())
    # In each component x' has mean m_k and variance V, so that m_k stands where q has x0.
    q = gaussian(1.0, variances + sigma_next**2, 1.0, (sigma - sigma_next) * (sigma + sigma_next))
    return Mixture(means + q.of_x[:, None] * (x - means), posterior_weights / posterior_weights.sum(), q.variance)


def moments(mixture: Mixture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute mean and variance of each coordinate, [d] both: the Gaussian of maximum likelihood.

    Example:
      >>> [a.round(6).tolist() for a in moments(mixture([[-1.0], [1.0]]))]
      [[0.0], [1.01]]
    """
    means, weights, variances = mixture
    mean = weights @ means
    return mean, weights @ (variances[:, None] + (means - mean) ** 2)


def scaled(mixture: Mixture, factor: float) -> Mixture:
    """Scale a mixture: the law of factor * x, such as 1 / sqrt(1 + sigma^2) for the coordinates of x_t.

    Args:
      mixture: of x; factor: a number.
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
