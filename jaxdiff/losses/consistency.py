"""Consistency models in discrete time: f at one level must agree with f at the next one down the same trajectory.

A method is three choices: how levels are drawn (`consistency_levels`), where the neighbour lies (on the teacher's
trajectory or on the data's own line), and a distance. Class labels and a dropout key are closed over by f and f_target;
closing both over the same key gives both sides the same dropout.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses.distances import Distance, pseudo_huber
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, checked, expand, floating

ConsistencyFn = Callable[[Batch, Array], Batch]
"""f(x, sigma): the end at sigma_min of the trajectory through x; sigma is [B]."""

TeacherStep = Callable[[Denoiser, Batch, Array, Array], Batch]
"""step(denoise, x, sigma, sigma_next) -> x_next, one step down the teacher's trajectory; levels are [B]."""


def euler_step(denoise: Denoiser, x: Batch, sigma: Array, sigma_next: Array) -> Batch:
    """x' = D + sigma' / sigma (x - D), one evaluation; every example has levels of its own.

    Reference: Song et al. 2023, Eq. 6 with the Euler solver.
    Example:
      >>> euler_step(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array([2.0]), jnp.array([1.0])).item()
      0.5
    """
    x0_hat = checked(denoise)(x, sigma)
    return x0_hat + expand(sigma_next, x) / expand(sigma, x) * (x - x0_hat)


def heun_step(denoise: Denoiser, x: Batch, sigma: Array, sigma_next: Array) -> Batch:
    """The average of two slopes (x - D) / sigma, at both ends of an Euler step; two evaluations, sigma' > 0.

    Reference: Song et al. 2023, section 5, after Karras et al. 2022, Alg. 1.
    Example:
      >>> heun_step(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array([2.0]), jnp.array([1.0])).item()
      0.5
    """
    denoise = checked(denoise)
    sigma, sigma_next = expand(sigma, x), expand(sigma_next, x)
    slope = (x - denoise(x, sigma.reshape(-1))) / sigma
    x_euler = x + (sigma_next - sigma) * slope
    slope_next = (x_euler - denoise(x_euler, sigma_next.reshape(-1))) / sigma_next
    return x + (sigma_next - sigma) * (slope + slope_next) / 2


def consistency_loss(
    f: ConsistencyFn,
    f_target: ConsistencyFn,
    x: Batch,
    sigma: Float[Array, " B"],
    x_next: Batch,
    sigma_next: Float[Array, " B"],
    *,
    distance: Distance,
    weight: ArrayLike = 1.0,
    stop: Callable[[Batch], Batch] = jax.lax.stop_gradient,
) -> Float[Array, " B"]:
    """weight * d(f(x, sigma), stop(f_target(x_next, sigma_next))), two points of one trajectory given.

    Where sigma_next is 0 the target is x_next, which is what the boundary f(x, 0) = x says of every f.

    Args:
      f, f_target: the online and the target network.
      x, x_next: [B, ...] at the levels sigma > sigma_next >= 0, [B].
      distance: d(x, y) -> [B].
      weight: lambda, [] or [B]: `snr_plus_one(sigma)`, ...
      stop: what keeps the gradient from the target; `lambda y: y` lets it through.
    Returns: [B].
    Raises: ValueError when sigma and sigma_next are not one level an example, or on the host do not decrease.
    Reference: Song et al. 2023, Eq. 7 and 10.
    Example:
      >>> from jaxdiff.losses.distances import l1
      >>> x, x_next, half = jnp.array([[4.0]]), jnp.array([[3.0]]), lambda x, sigma: x / 2
      >>> consistency_loss(half, half, x, jnp.array([2.0]), x_next, jnp.array([1.0]), distance=l1).tolist()
      [0.5]
    """
    check_levels(x, sigma, sigma_next)
    inside = sigma_next > 0
    target = checked(f_target, "f_target")(x_next, jnp.where(inside, sigma_next, sigma))
    target = jnp.where(expand(inside, x), target, x_next)
    return jnp.asarray(weight) * distance(checked(f, "f")(x, sigma), stop(target))


def distillation_loss(
    f: ConsistencyFn,
    f_target: ConsistencyFn,
    denoise_teacher: Denoiser,
    x0: Batch,
    sigma: Float[Array, " B"],
    sigma_next: Float[Array, " B"],
    noise: Batch,
    *,
    distance: Distance,
    weight: ArrayLike = 1.0,
    step: TeacherStep = heun_step,
    stop: Callable[[Batch], Batch] = jax.lax.stop_gradient,
) -> Float[Array, " B"]:
    """Consistency distillation: the neighbour is one step of the teacher away.

    x = x0 + sigma n,  x' = step(D_teacher, x, sigma, sigma'),  weight * d(f(x, sigma), stop(f_target(x', sigma')))

    Args:
      f, f_target: the online network and its moving average.
      denoise_teacher: D(x, sigma) of the diffusion model; no gradient goes through it.
      x0, noise: [B, ...]; sigma > sigma_next > 0: [B], from `consistency_levels.uniform_levels`.
      distance, weight, stop: of `consistency_loss`.
      step: `heun_step`, the paper's, or `euler_step`.
    Returns: [B]; 0 at the consistency function of the teacher but for the solver's error.
    Raises: ValueError when shapes do not match or there is no teacher.
    Reference: Song et al. 2023, Alg. 2.
    Example:
      >>> from jaxdiff.losses.distances import l2
      >>> x0, levels = jnp.zeros((1, 2)), (jnp.array([2.0]), jnp.array([1.0]))
      >>> same = lambda x, sigma: x
      >>> distillation_loss(same, same, lambda x, sigma: 0 * x, x0, *levels, jnp.ones((1, 2)), distance=l2).tolist()
      [1.0]
    """
    if denoise_teacher is None:
        raise ValueError("distillation needs a teacher: denoise_teacher must be D(x, sigma), got None")
    _check_noise(x0, noise)
    check_levels(x0, sigma, sigma_next)
    x = x0 + expand(sigma, x0) * noise
    x_next = jax.lax.stop_gradient(step(denoise_teacher, x, sigma, sigma_next))
    return consistency_loss(f, f_target, x, sigma, x_next, sigma_next, distance=distance, weight=weight, stop=stop)


def training_loss(
    f: ConsistencyFn,
    f_target: ConsistencyFn,
    x0: Batch,
    sigma: Float[Array, " B"],
    sigma_next: Float[Array, " B"],
    noise: Batch,
    *,
    distance: Distance,
    weight: ArrayLike = 1.0,
    stop: Callable[[Batch], Batch] = jax.lax.stop_gradient,
) -> Float[Array, " B"]:
    """Consistency training: both points share data and noise, and no teacher is needed.

    weight * d(f(x0 + sigma n, sigma), stop(f_target(x0 + sigma' n, sigma')))

    It is the distillation loss with Euler's step and x0 in place of D(x, sigma), whose expectation differs from it by
    o(1/N) as the grid is refined.

    Args: as `distillation_loss`; sigma_next may be 0.
    Reference: Song et al. 2023, Alg. 3 and Theorem 2.
    Example:
      >>> from jaxdiff.losses.distances import l2
      >>> x0, levels = jnp.zeros((1, 2)), (jnp.array([2.0]), jnp.array([0.5]))
      >>> same = lambda x, sigma: x
      >>> training_loss(same, same, x0, *levels, jnp.ones((1, 2)), distance=l2).tolist()
      [2.25]
    """
    _check_noise(x0, noise)
    check_levels(x0, sigma, sigma_next)
    x, x_next = (x0 + expand(level, x0) * noise for level in (sigma, sigma_next))
    return consistency_loss(f, f_target, x, sigma, x_next, sigma_next, distance=distance, weight=weight, stop=stop)


def improved_training_loss(
    f: ConsistencyFn,
    x0: Batch,
    sigma: Float[Array, " B"],
    sigma_next: Float[Array, " B"],
    noise: Batch,
    *,
    c: float | None = None,
) -> Float[Array, " B"]:
    """`training_loss` as iCT and ECT have it: f is its own target, pseudo-Huber distance, weight 1/(sigma - sigma').

    They differ in their levels: iCT's from `consistency_levels.lognormal_levels`, ECT's sigma from `lognormal_sigma`
    and its sigma' from `consistency_levels.ect_sigma_next`.

    Args:
      f: the online network; x0, noise: [B, ...]; sigma > sigma_next >= 0: [B].
      c: of `pseudo_huber`; iCT's where not given, 0 in ECT's code by default.
    Returns: [B].
    Reference: Song & Dhariwal 2024 (2310.14189), section 3; Geng et al. 2025 (2406.14548).
    Example:
      >>> x0, levels = jnp.zeros((1, 2)), (jnp.array([2.0]), jnp.array([0.0]))
      >>> improved_training_loss(lambda x, sigma: x, x0, *levels, jnp.array([[0.0, 3.0]]), c=0.0).tolist()
      [3.0]
    """
    check_levels(x0, sigma, sigma_next)
    return training_loss(
        f,
        f,
        x0,
        sigma,
        sigma_next,
        noise,
        distance=lambda x, y: pseudo_huber(x, y, c),
        weight=1 / (floating(sigma) - sigma_next),
    )


def check_levels(x: Batch, sigma: Array, sigma_next: Array) -> None:
    """Raise ValueError unless both are one level an example and, where on the host, sigma > sigma_next >= 0."""
    for name, level in (("sigma", sigma), ("sigma_next", sigma_next)):
        if jnp.shape(level) != x.shape[:1]:
            shape = list(jnp.shape(level))
            raise ValueError(f"{name} must have shape [{x.shape[0]}], one level per example, got {shape}")
    on_host = isinstance(sigma, np.ndarray) and isinstance(sigma_next, np.ndarray)
    if on_host and not np.all((sigma > sigma_next) & (sigma_next >= 0)):
        raise ValueError(f"levels must decrease, sigma > sigma_next >= 0, got {sigma} and {sigma_next}")


def _check_noise(x0: Batch, noise: Batch) -> None:
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
