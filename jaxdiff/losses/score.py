"""Score matching in the native coordinates of an SDE: denoising with any weight, and sliced."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.losses.per_example import check_scalars, check_shape, mean_pixels, sum_pixels
from jaxdiff.process.sde import SDE
from jaxdiff.types import Array, Batch, Float, Score, check_outputs, expand


def score_loss(
    score: Score,
    sde: SDE,
    x0: Batch,
    t: Float[Array, " B"],
    noise: Batch,
    weight: Callable[[Array], Array] | None = None,
) -> Float[Array, " B"]:
    """Compute lambda(t) times the mean over pixels of (score(x_t, t) + z / std)^2, x_t = a x0 + std z.

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
      >>> from jaxdiff.process.sde import vp
      >>> x0, t = jnp.zeros((1, 2)), jnp.array([0.5])
      >>> score_loss(lambda x, t: 0 * x, vp(), x0, t, jnp.full((1, 2), 2.0)).item()
      4.0
    """
    check_shape(noise, x0)
    check_scalars(x0, t, "t", "time")
    a, std = sde.a(t), sde.std(t)
    x = expand(a, x0) * x0 + expand(std, x0) * noise
    # std times the residual stays finite where std is tiny.
    scaled = mean_pixels(jnp.square(expand(std, x0) * check_outputs(score, "score")(x, t) + noise))
    return scaled if weight is None else weight(t) / std**2 * scaled


def sliced_score_loss(score: Score, x: Batch, t: Float[Array, " B"], probes: Batch) -> Float[Array, " B"]:
    """Compute v^T grad(v^T score) + (v^T score)^2 / 2 for one random direction v an example; no noise is added.

    Args:
      score: the model's; x: data [B, ...]; t: [B], the time that the score is asked for.
      probes: v with E[v v^T] = I, such as Rademacher, [B, ...].
    Returns: [B]; its expectation is E|score - grad log p|^2 / 2 up to a constant.
    Reference: Song et al. 2019 (1905.07088), Eq. 7; Song et al. 2021, Eq. 19.
    Example:
      >>> sliced_score_loss(lambda x, t: -x, jnp.ones((1, 2)), jnp.ones(1), jnp.ones((1, 2))).item()
      0.0
    """
    value, tangent = jax.jvp(lambda x: check_outputs(score, "score")(x, t), (x,), (probes,))
    return sum_pixels(probes * tangent) + sum_pixels(probes * value) ** 2 / 2
