"""Score matching: denoising, weighted as one likes, and sliced."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.sde import SDE
from jaxdiff.types import Array, Batch, Float, checked, expand

Score = Callable[[Batch, Array], Batch]
"""score(x, t) in native coordinates; t is [B]."""


def score_loss(
    score: Score,
    sde: SDE,
    x0: Batch,
    t: Float[Array, " B"],
    noise: Batch,
    weight: Callable[[Array], Array] | None = None,
) -> Float[Array, " B"]:
    """lambda(t) * mean over pixels of (score(x_t, t) + z / std)^2, x_t = a x0 + std z.

    Args:
      score: the model's; sde: with the marginals to perturb by.
      x0, noise: [B, ...]; t: [B] in (0, 1].
      weight: lambda; std(t)^2 where not given. `lambda t: sde.g(t) ** 2` is likelihood weighting.
    Returns: [B].
    Raises: ValueError when noise or t has another shape.
    Reference: Song et al. 2021, Eq. 7; Song et al. 2021b (2101.09258), Theorem 1, for the likelihood weighting. The
      discrete objectives of SMLD and DDPM are this one with the marginals of their chain. Means over pixels, where the
      authors' code takes half the sum.
    Example:
      >>> from jaxdiff.sde import vp
      >>> x0, t = jnp.zeros((1, 2)), jnp.array([0.5])
      >>> score_loss(lambda x, t: 0 * x, vp(), x0, t, jnp.full((1, 2), 2.0)).item()
      4.0
    """
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    if t.shape != x0.shape[:1]:
        raise ValueError(f"t must have shape [{x0.shape[0]}], one time per example, got {list(t.shape)}")
    a, std = sde.a(t), sde.std(t)
    x = expand(a, x0) * x0 + expand(std, x0) * noise
    axes = tuple(range(1, x0.ndim))
    # std times the residual stays finite where std does not leave its digits.
    scaled = jnp.mean(jnp.square(expand(std, x0) * checked(score, "score")(x, t) + noise), axis=axes)
    return scaled if weight is None else weight(t) / std**2 * scaled


def sliced_loss(score: Score, x: Batch, t: Float[Array, " B"], probes: Batch) -> Float[Array, " B"]:
    """v^T grad(v^T score) + (v^T score)^2 / 2, for one random direction v an example: no noise is added to the data.

    Args:
      x: [B, ...], t: [B]; probes: v with E[v v^T] = I, such as Rademacher, [B, ...].
    Returns: [B]; its expectation is E|score - grad log p|^2 / 2 up to a constant.
    Reference: Song et al. 2019 (1905.07088), Eq. 7; Hutchinson 1990.
    Example:
      >>> sliced_loss(lambda x, t: -x, jnp.ones((1, 2)), jnp.ones(1), jnp.ones((1, 2))).item()
      0.0
    """
    value, tangent = jax.jvp(lambda x: checked(score, "score")(x, t), (x,), (probes,))
    axes = tuple(range(1, x.ndim))
    return jnp.sum(probes * tangent, axis=axes) + jnp.sum(probes * value, axis=axes) ** 2 / 2


def sliced_loss_of_norm(score: Score, x: Batch, t: Float[Array, " B"], probes: Batch) -> Float[Array, " B"]:
    """v^T grad(v^T score) + |score|^2 / 2: `sliced_loss` with the norm as it is, which has less variance.

    Args: as `sliced_loss`; the expectations are the same.
    Reference: Song et al. 2019 (1905.07088), Eq. 8, "SSM-VR".
    Example:
      >>> sliced_loss_of_norm(lambda x, t: -x, jnp.ones((1, 2)), jnp.ones(1), jnp.ones((1, 2))).item()
      -1.0
    """
    value, tangent = jax.jvp(lambda x: checked(score, "score")(x, t), (x,), (probes,))
    return jnp.sum(probes * tangent + jnp.square(value) / 2, axis=tuple(range(1, x.ndim)))


def uniform_times(uniform: Array, epsilon: float = 1e-5) -> Array:
    """t = epsilon + u (1 - epsilon).

    Raises: ValueError when epsilon is outside (0, 1).
    Reference: Song et al. 2021, Appendix C.
    Example:
      >>> float(uniform_times(jnp.array(1.0)))
      1.0
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie between 0 and 1, got {epsilon}")
    return epsilon + uniform * (1 - epsilon)


def likelihood_times(sde: SDE, uniform: Array, epsilon: float = 1e-5) -> tuple[Array, float]:
    """(t, Z): times in proportion to g^2 / std^2, for which likelihood weighting has the least variance.

    As g^2 / std^2 = d log(sigma^2) / dt, they are those of log-uniform sigma, and Z = 2 log(sigma(1) / sigma(epsilon)):
    Z times the unweighted `score_loss` at these times is, in expectation, the likelihood-weighted one at uniform times
    but for the factor 1 - epsilon.

    Args:
      uniform: [B] in [0, 1).
    Raises: ValueError when epsilon is outside (0, 1).
    Reference: Song et al. 2021b (2101.09258), section 5.1, whose proposal is this one for VP.
    Example:
      >>> from jaxdiff.sde import ve
      >>> t, z = likelihood_times(ve(1.0, 100.0), jnp.array([0.5]), epsilon=1e-9)
      >>> round(t.item(), 4), round(z, 4)
      (0.5, 9.2103)
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie between 0 and 1, got {epsilon}")
    low, high = (float(np.log(sde.std(t) / sde.a(t))) for t in np.array([epsilon, 1.0]))
    return sde.time(jnp.exp(low + uniform * (high - low))), 2 * (high - low)
