"""Consistency models in continuous time: f must not change along a trajectory, df/dsigma = 0.

    df/dsigma = df/dx dx/dsigma + partial f / partial sigma

one forward-mode derivative. dx/dsigma is the slope of the trajectory: (x - D(x, sigma)) / sigma of the teacher's, or
n = (x - x0) / sigma of the data's own line.
"""

import jax
import jax.numpy as jnp

from jaxdiff.losses.consistency.discrete import ConsistencyFn
from jaxdiff.losses.distances import Distance
from jaxdiff.losses.per_example import check_scalars, check_shape, check_teacher, sum_pixels
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, check_outputs, expand


def ode_slope(denoise_teacher: Denoiser, x: Batch, sigma: Float[Array, " B"]) -> Batch:
    """Compute the slope dx/dsigma = (x - D(x, sigma)) / sigma of the teacher's probability flow.

    Args:
      denoise_teacher: D(x, sigma); x: [B, ...]; sigma: [B], > 0.
    Returns: [B, ...]; no gradient goes through it.
    Raises: ValueError when there is no teacher.
    Reference: Song et al. 2023, Eq. 3; Karras et al. 2022, Eq. 1 and 3.
    Example:
      >>> ode_slope(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array([2.0])).item()
      0.5
    """
    check_teacher(denoise_teacher)
    return jax.lax.stop_gradient((x - check_outputs(denoise_teacher, "denoise_teacher")(x, sigma)) / expand(sigma, x))


def tangent(f: ConsistencyFn, x: Batch, sigma: Float[Array, " B"], slope: Batch) -> tuple[Batch, Batch]:
    """Compute f(x, sigma) and its derivative along a slope, df/dx dx/dsigma + df/dsigma, by one `jax.jvp`.

    Args:
      f: differentiable in x and sigma; x: [B, ...]; sigma: [B].
      slope: dx/dsigma, [B, ...].
    Returns: (f, df/dsigma), [B, ...] each.
    Raises: ValueError when slope or sigma has another shape.
    Example:
      >>> x, sigma = jnp.array([[3.0]]), jnp.array([2.0])
      >>> value, derivative = tangent(lambda x, sigma: x * expand(sigma, x), x, sigma, jnp.ones((1, 1)))
      >>> value.item(), derivative.item()
      (6.0, 5.0)
    """
    check_shape(slope, x, "slope", "x")
    check_scalars(x, sigma)
    return jax.jvp(check_outputs(f, "f"), (x, sigma), (slope, jnp.ones_like(sigma)))


def tangent_loss(
    f: ConsistencyFn,
    x: Batch,
    sigma: Float[Array, " B"],
    slope: Batch,
    *,
    distance: Distance,
    weight: ArrayLike = 1.0,
) -> Float[Array, " B"]:
    """Compute weight d(df/dsigma, 0): 0 where f is consistent; its gradient goes through the derivative.

    For distillation: with the slope n of the data's line it has another minimum.

    Args:
      f, x, sigma, slope: of `tangent`; levels from `timesteps.karras_sigma` of uniform numbers.
      distance: `l1`, `linf`, or the norm `partial(pseudo_huber, c=0.0)`.
      weight: [] or [B].
    Returns: [B].
    Raises: ValueError as `tangent`.
    Reference: Song et al. 2023, Appendix B: distillation in continuous time with the target's parameters equal to the
      online network's and no stop-gradient.
    Example:
      >>> from jaxdiff.losses.distances import l1
      >>> x, sigma = jnp.array([[3.0]]), jnp.array([2.0])
      >>> tangent_loss(lambda x, sigma: x / expand(sigma, x), x, sigma, x / 2, distance=l1).item()
      0.0
    """
    _, derivative = tangent(f, x, sigma, slope)
    return jnp.asarray(weight) * distance(derivative, jnp.zeros_like(derivative))


def stopped_tangent_loss(
    f: ConsistencyFn, x: Batch, sigma: Float[Array, " B"], slope: Batch, *, weight: ArrayLike = 1.0
) -> Float[Array, " B"]:
    """Compute weight sum(f stop(df/dsigma)), whose gradient is that of the discrete loss with stop-gradient.

    Per interval of length h of the grid, the squared distance has the gradient 2 h df/dtheta . df/dsigma. The value
    means nothing and may be negative.

    Args:
      f, x, sigma, weight: of `tangent_loss`; slope: `ode_slope` for distillation, the noise for training.
    Returns: [B].
    Raises: ValueError as `tangent`.
    Reference: Song et al. 2023, Appendix B: stop-gradient and squared distance, distillation and training.
    Example:
      >>> x, sigma = jnp.array([[3.0]]), jnp.array([2.0])
      >>> stopped_tangent_loss(lambda x, sigma: 2 * x, x, sigma, jnp.ones((1, 1))).item()
      12.0
    """
    value, derivative = tangent(f, x, sigma, slope)
    return jnp.asarray(weight) * sum_pixels(value * jax.lax.stop_gradient(derivative))
