"""Consistency models in discrete time: f at one level must agree with f at the next one down the same trajectory.

A method is three choices: how levels are drawn (`timesteps.pairs`), where the neighbour lies (on the teacher's
trajectory or on the line through data and noise), and a distance. Class labels and a dropout key are closed over by f
and f_target; closing both over the same key gives both sides the same dropout.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.losses.distances import Distance, pseudo_huber
from jaxdiff.losses.per_example import check_levels, check_shape, check_teacher
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, as_floating, check_outputs, expand

ConsistencyFn = Callable[[Batch, Array], Batch]
"""f(x, sigma): the end at sigma_min of the trajectory through x; sigma is [B]."""

ODESolver = Callable[[Denoiser, Batch, Array, Array], Batch]
"""solver(denoise, x, sigma, sigma_next) -> x_next, one step down the teacher's probability flow; levels are [B]."""


def euler_solver(denoise: Denoiser, x: Batch, sigma: Array, sigma_next: Array) -> Batch:
    """Take one Euler step of the probability flow, every example between levels of its own.

    x' = D + sigma' / sigma (x - D)

    Args:
      denoise: D(x, sigma), asked once; x: [B, ...]; sigma > sigma_next >= 0: [B].
    Returns: x', [B, ...].
    Reference: Song et al. 2023, Eq. 6 with the Euler solver.
    Example:
      >>> euler_solver(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array([2.0]), jnp.array([1.0])).item()
      0.5
    """
    x0_hat = check_outputs(denoise)(x, sigma)
    return x0_hat + expand(sigma_next, x) / expand(sigma, x) * (x - x0_hat)


def heun_solver(denoise: Denoiser, x: Batch, sigma: Array, sigma_next: Array) -> Batch:
    """Take one Heun step of the probability flow, every example between levels of its own.

    x' = x + (sigma' - sigma) (d + d') / 2,  d = (x - D) / sigma, and d' at the end of an Euler step

    Args:
      denoise: D(x, sigma), asked twice; x: [B, ...]; sigma > sigma_next > 0: [B].
    Returns: x', [B, ...].
    Reference: Song et al. 2023, section 5, after Karras et al. 2022, Alg. 1.
    Example:
      >>> heun_solver(lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array([2.0]), jnp.array([1.0])).item()
      0.5
    """
    denoise = check_outputs(denoise)
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
    """Compute weight d(f(x, sigma), stop(f_target(x_next, sigma_next))) for two points of one trajectory.

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
    target = check_outputs(f_target, "f_target")(x_next, jnp.where(inside, sigma_next, sigma))
    target = jnp.where(expand(inside, x), target, x_next)
    return jnp.asarray(weight) * distance(check_outputs(f, "f")(x, sigma), stop(target))


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
    solver: ODESolver = heun_solver,
    stop: Callable[[Batch], Batch] = jax.lax.stop_gradient,
) -> Float[Array, " B"]:
    """Compute the loss of consistency distillation: the other point is one solver step of the teacher away.

    x = x0 + sigma n,  x' = solver(D_teacher, x, sigma, sigma'),  weight * d(f(x, sigma), stop(f_target(x', sigma')))

    Args:
      f, f_target: the online network and its moving average.
      denoise_teacher: D(x, sigma) of the diffusion model; no gradient goes through it.
      x0, noise: [B, ...]; sigma > sigma_next > 0: [B], from `timesteps.uniform_levels`.
      distance, weight, stop: of `consistency_loss`.
      solver: `heun_solver`, the paper's, or `euler_solver`.
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
    check_teacher(denoise_teacher)
    check_shape(noise, x0)
    check_levels(x0, sigma, sigma_next)
    x = x0 + expand(sigma, x0) * noise
    x_next = jax.lax.stop_gradient(solver(denoise_teacher, x, sigma, sigma_next))
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
    """Compute the loss of consistency training: both points share data and noise, and no teacher is needed.

    weight * d(f(x0 + sigma n, sigma), stop(f_target(x0 + sigma' n, sigma')))

    It is the distillation loss by Euler's step with x0 for D(x, sigma); their expectations differ by o(1/N) as the grid
    is refined.

    Args:
      f, f_target: the online network and its moving average, or itself.
      x0, noise: [B, ...]; sigma > sigma_next >= 0: [B], from `timesteps.uniform_levels`.
      distance, weight, stop: of `consistency_loss`.
    Returns: [B].
    Raises: ValueError when shapes do not match.
    Reference: Song et al. 2023, Alg. 3, Eq. 9 and 10, and Theorem 2.
    Example:
      >>> from jaxdiff.losses.distances import l2
      >>> x0, levels = jnp.zeros((1, 2)), (jnp.array([2.0]), jnp.array([0.5]))
      >>> same = lambda x, sigma: x
      >>> training_loss(same, same, x0, *levels, jnp.ones((1, 2)), distance=l2).tolist()
      [2.25]
    """
    check_shape(noise, x0)
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
    """Compute the loss of iCT and ECT: f is its own target, pseudo-Huber distance, weight 1 / (sigma - sigma').

    They differ in their levels: iCT's from `timesteps.lognormal_levels`, ECT's sigma from `timesteps.lognormal_sigma`
    and its sigma' from `timesteps.ect_sigma_next`.

    Args:
      f: the online network; x0, noise: [B, ...]; sigma > sigma_next >= 0: [B].
      c: of `pseudo_huber`; iCT's where not given, 0 in ECT's code by default.
    Returns: [B].
    Raises: ValueError when shapes do not match.
    Reference: Song & Dhariwal 2024 (2310.14189), Table 1; Geng et al. 2025 (2406.14548).
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
        weight=1 / (as_floating(sigma) - sigma_next),
    )
