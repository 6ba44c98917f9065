"""Progressive distillation: a student does in one step what its teacher does in two."""

import jax
import jax.numpy as jnp

from jaxdiff.losses.consistency.discrete import euler_solver
from jaxdiff.losses.distances import Distance
from jaxdiff.losses.per_example import check_levels, check_shape, check_teacher
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, check_outputs, expand


def two_step_target(denoise_teacher: Denoiser, x: Batch, sigma: Array, sigma_mid: Array, sigma_next: Array) -> Batch:
    """Compute the x0 that makes one Euler step sigma -> sigma'' land where the teacher's two land, x''.

    x0 = (x'' - r x) / (1 - r),  r = sigma'' / sigma

    Args:
      denoise_teacher: D(x, sigma); x: [B, ...]; sigma > sigma_mid > sigma_next >= 0: [B].
    Returns: [B, ...]; no gradient goes through it.
    Raises: ValueError when there is no teacher, or levels are not one an example.
    Reference: Salimans & Ho 2022 (2202.00512), Alg. 2 and Appendix G, in our coordinates.
    Example:
      >>> levels = (jnp.array([4.0]), jnp.array([2.0]), jnp.array([1.0]))
      >>> two_step_target(lambda x, sigma: 0 * x + 3, jnp.ones((1, 1)), *levels).item()
      3.0
    """
    check_teacher(denoise_teacher)
    check_levels(x, sigma, sigma_mid)
    check_levels(x, sigma_mid, sigma_next)
    x_mid = euler_solver(denoise_teacher, x, sigma, sigma_mid)
    x_next = euler_solver(denoise_teacher, x_mid, sigma_mid, sigma_next)
    ratio = expand(sigma_next, x) / expand(sigma, x)
    return jax.lax.stop_gradient((x_next - ratio * x) / (1 - ratio))


def progressive_loss(
    denoise: Denoiser,
    denoise_teacher: Denoiser,
    x0: Batch,
    levels: tuple[Float[Array, " B"], Float[Array, " B"], Float[Array, " B"]],
    noise: Batch,
    *,
    distance: Distance,
    weight: ArrayLike = 1.0,
) -> Float[Array, " B"]:
    """Compute weight d(D(x0 + sigma n, sigma), `two_step_target`): the student becomes the teacher of the next stage.

    Args:
      denoise: the student, which starts at the teacher's weights.
      denoise_teacher: the last stage's student.
      x0, noise: [B, ...]; levels: three [B], from `timesteps.progressive_levels`.
      distance: `l2` in the paper; weight: `truncated_snr(sigma)` or `snr_plus_one(sigma)` there.
    Returns: [B].
    Raises: ValueError when there is no teacher, or shapes do not match.
    Reference: Salimans & Ho 2022, Alg. 2.
    Example:
      >>> from jaxdiff.losses.distances import l2
      >>> x0, levels = jnp.zeros((1, 1)), (jnp.array([4.0]), jnp.array([2.0]), jnp.array([1.0]))
      >>> zero = lambda x, sigma: 0 * x
      >>> progressive_loss(zero, zero, x0, levels, jnp.ones((1, 1)), distance=l2).tolist()
      [0.0]
    """
    check_shape(noise, x0)
    check_levels(x0, levels[0], levels[1])
    x = x0 + expand(levels[0], x0) * noise
    return jnp.asarray(weight) * distance(
        check_outputs(denoise)(x, levels[0]), two_step_target(denoise_teacher, x, *levels)
    )
