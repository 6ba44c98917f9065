"""Progressive distillation: a student does in one step what its teacher does in two."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses.consistency import check_levels, euler_step
from jaxdiff.losses.consistency_levels import karras_sigma
from jaxdiff.losses.distances import Distance
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, checked, expand


def halved_levels(
    index: Array, num_steps: ArrayLike, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> tuple[Array, Array, Array]:
    """(sigma, sigma_mid, sigma_next) of the student's step i of n: i/n, (i + 1/2)/n and (i + 1)/n of the way down.

    Args:
      index: i in 0 .. n - 1, [B]; floor(u n) of a uniform number.
      num_steps: n >= 1 of the student, may be traced, as `consistency_schedules.halving_steps` gives it.
    Raises: ValueError when n on the host is below 1, or as `karras_sigma`.
    Reference: Song et al. 2023, Appendix C, for the baseline on EDM's grid.
    Example:
      >>> [level.tolist() for level in halved_levels(np.array([1]), 2, 1.0, 9.0, rho=1.0)]
      [[5.0], [3.0], [1.0]]
    """
    if not isinstance(num_steps, jax.Array) and not np.all(np.asarray(num_steps) >= 1):
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    count = jnp.asarray(num_steps, jnp.result_type(float))
    sigma, sigma_mid, sigma_next = (
        karras_sigma((jnp.asarray(index) + half) / count, sigma_min, sigma_max, rho) for half in (0.0, 0.5, 1.0)
    )
    return sigma, sigma_mid, sigma_next


def two_step_target(denoise_teacher: Denoiser, x: Batch, sigma: Array, sigma_mid: Array, sigma_next: Array) -> Batch:
    """The x0 that makes one Euler step sigma -> sigma'' land where the teacher's two land, x''.

    x0 = (x'' - r x) / (1 - r),  r = sigma'' / sigma

    Args:
      denoise_teacher: D(x, sigma); x: [B, ...]; levels: [B], sigma > sigma_mid > sigma_next >= 0.
    Returns: [B, ...]; no gradient goes through it.
    Raises: ValueError when there is no teacher, or levels are not one an example.
    Reference: Salimans & Ho 2022 (2202.00512), Alg. 2 and Appendix G, in our coordinates.
    Example:
      >>> levels = (jnp.array([4.0]), jnp.array([2.0]), jnp.array([1.0]))
      >>> two_step_target(lambda x, sigma: 0 * x + 3, jnp.ones((1, 1)), *levels).item()
      3.0
    """
    if denoise_teacher is None:
        raise ValueError("distillation needs a teacher: denoise_teacher must be D(x, sigma), got None")
    check_levels(x, sigma, sigma_mid)
    check_levels(x, sigma_mid, sigma_next)
    x_mid = euler_step(denoise_teacher, x, sigma, sigma_mid)
    x_next = euler_step(denoise_teacher, x_mid, sigma_mid, sigma_next)
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
    """weight * d(D(x0 + sigma n, sigma), `two_step_target`): the student, a denoiser, replaces its teacher each stage.

    Args:
      denoise: the student, which starts at the teacher's weights.
      denoise_teacher: the last stage's student.
      x0, noise: [B, ...]; levels: three [B], from `halved_levels`.
      distance: `l2` in the paper; weight: `truncated_snr(sigma)` or `snr_plus_one(sigma)` there.
    Returns: [B].
    Raises: as `two_step_target`; ValueError when noise has another shape.
    Reference: Salimans & Ho 2022, Alg. 2.
    Example:
      >>> from jaxdiff.losses.distances import l2
      >>> x0, levels = jnp.zeros((1, 1)), (jnp.array([4.0]), jnp.array([2.0]), jnp.array([1.0]))
      >>> zero = lambda x, sigma: 0 * x
      >>> progressive_loss(zero, zero, x0, levels, jnp.ones((1, 1)), distance=l2).tolist()
      [0.0]
    """
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    check_levels(x0, levels[0], levels[1])
    x = x0 + expand(levels[0], x0) * noise
    return jnp.asarray(weight) * distance(checked(denoise)(x, levels[0]), two_step_target(denoise_teacher, x, *levels))
