"""sCM: continuous-time consistency models in TrigFlow, x_t = cos(t) x0 + sin(t) z with z ~ N(0, sigma_data^2 I).

    f(x_t, t) = cos(t) x_t - sin(t) sigma_data F(x_t / sigma_data, t)

t = arctan(sigma / sigma_data), in (0, pi / 2), from `boundary.trigflow_time(lognormal_sigma(normal, -1.0, 1.4))`. The
network F(u, t) is any callable; `boundary.trigflow_network` and `boundary.trigflow_from_edm` make it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike, Batch, Float, checked, expand, floating, state_type

TrigFlow = Callable[[Batch, Array], Batch]
"""F(x_t / sigma_data, t): sigma_data F is the slope dx_t/dt; t is [B]."""


def scm_tangent(
    network: TrigFlow,
    x: Batch,
    t: Float[Array, " B"],
    slope: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
) -> tuple[Batch, Batch]:
    """(F(x / sd, t), g), g = cos(t) df/dt, the tangent with its prior weight 1 / (sd tan(t)) times sd sin(t).

    g = -cos^2(t) (sd F - dx/dt) - r cos(t) sin(t) (x + sd dF/dt)

    Args:
      network: F(u, t); x: x_t, [B, ...]; t: [B].
      slope: dx_t/dt, [B, ...].
      sigma_data: sd.
      warmup: r in [0, 1], [] and maybe traced: `tangent_warmup`.
    Returns: both [B, ...], before normalisation; the derivative is taken of cos(t) sin(t) dF/dt as one, which stays
      finite where c_noise is log(sigma).
    Raises: ValueError when t or slope has another shape, or a time on the host is outside (0, pi / 2].
    Reference: Lu & Song 2025 (2410.11081), Alg. 1, and its rearranged Jacobian-vector product.
    Example:
      >>> _, g = scm_tangent(lambda u, t: 0 * u, jnp.ones((1, 1)), jnp.array([jnp.pi / 4]), jnp.zeros((1, 1)))
      >>> round(g.item(), 4)
      -0.5
    """
    _check_times(x, t)
    if slope.shape != x.shape:
        raise ValueError(f"slope must have the shape of x, {list(x.shape)}, got {list(slope.shape)}")
    t = jnp.asarray(t, state_type(x))
    cos, sin = jnp.cos(t), jnp.sin(t)
    both = expand(cos * sin, x)
    value, derivative = jax.jvp(
        checked(network, "network"), (x / sigma_data, t), (both * slope / sigma_data, cos * sin)
    )
    g = -expand(cos**2, x) * (sigma_data * value - slope) - jnp.asarray(warmup) * (both * x + sigma_data * derivative)
    return value, g


def scm_loss(
    network: TrigFlow,
    x: Batch,
    t: Float[Array, " B"],
    slope: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
    log_weight: ArrayLike = 0.0,
    c: float = 0.1,
) -> Float[Array, " B"]:
    """exp(w) / D |F - stop(F) - stop(g) / (|g| + c)|^2 - w, D pixels, g from `scm_tangent`.

    The gradient is that of f's consistency; the value is not, since F - stop(F) is 0.

    Args:
      network, x, t, slope, sigma_data, warmup: of `scm_tangent`.
      log_weight: w(t), [] or [B], learned with the network: `adaptive_log_weight`; 0 weighs all times alike.
      c: > 0, below which the tangent is not normalised.
    Returns: [B].
    Raises: as `scm_tangent`; ValueError when c is not positive.
    Reference: Lu & Song 2025, Alg. 1, with its tangent normalisation, c = 0.1, and adaptive weighting.
    Example:
      >>> x, t = jnp.ones((1, 1)), jnp.array([jnp.pi / 4])
      >>> round(scm_loss(lambda u, t: 0 * u, x, t, jnp.zeros((1, 1))).item(), 4)  # (0.5 / 0.6)^2
      0.6944
    """
    if not c > 0:
        raise ValueError(f"c must be positive, got {c}")
    value, g = scm_tangent(network, x, t, slope, sigma_data=sigma_data, warmup=warmup)
    g = jax.lax.stop_gradient(g)
    axes = tuple(range(1, x.ndim))
    norm = jnp.sqrt(jnp.sum(jnp.square(g), axis=axes, keepdims=True))
    error = jnp.mean(jnp.square(value - jax.lax.stop_gradient(value) - g / (norm + c)), axis=axes)
    return jnp.exp(jnp.asarray(log_weight)) * error - jnp.asarray(log_weight)


def sct_loss(
    network: TrigFlow,
    x0: Batch,
    t: Float[Array, " B"],
    noise: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
    log_weight: ArrayLike = 0.0,
    c: float = 0.1,
) -> Float[Array, " B"]:
    """`scm_loss` on data alone: dx_t/dt = cos(t) z - sin(t) x0, z = sigma_data n.

    Args:
      network: F(u, t); x0: [B, ...]; t: [B]; noise: n ~ N(0, I), [B, ...]; the rest of `scm_loss`.
    Returns: [B].
    Raises: as `scm_loss`; ValueError when noise has another shape.
    Reference: Lu & Song 2025, Alg. 1, consistency training.
    Example:
      >>> x0, t = jnp.zeros((1, 1)), jnp.array([0.5])
      >>> sct_loss(lambda u, t: u, x0, t, jnp.ones((1, 1))).shape
      (1,)
    """
    x, slope = trigflow_line(x0, t, noise, sigma_data)
    return scm_loss(network, x, t, slope, sigma_data=sigma_data, warmup=warmup, log_weight=log_weight, c=c)


def scd_loss(
    network: TrigFlow,
    teacher: TrigFlow,
    x0: Batch,
    t: Float[Array, " B"],
    noise: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
    log_weight: ArrayLike = 0.0,
    c: float = 0.1,
) -> Float[Array, " B"]:
    """`scm_loss` on the teacher's trajectory: dx_t/dt = sigma_data F_teacher(x_t / sigma_data, t).

    Args: as `sct_loss`, and teacher: F of the diffusion model, from `boundary.trigflow_from_edm` for an EDM network.
    Returns: [B].
    Raises: as `sct_loss`; ValueError when there is no teacher.
    Reference: Lu & Song 2025, Alg. 1, consistency distillation.
    Example:
      >>> x0, t = jnp.zeros((1, 1)), jnp.array([0.5])
      >>> scd_loss(lambda u, t: u, lambda u, t: 0 * u, x0, t, jnp.ones((1, 1))).shape
      (1,)
    """
    if teacher is None:
        raise ValueError("distillation needs a teacher: teacher must be F(x_t / sigma_data, t), got None")
    x, _ = trigflow_line(x0, t, noise, sigma_data)
    slope = jax.lax.stop_gradient(
        sigma_data * checked(teacher, "teacher")(x / sigma_data, jnp.asarray(t, state_type(x)))
    )
    return scm_loss(network, x, t, slope, sigma_data=sigma_data, warmup=warmup, log_weight=log_weight, c=c)


def trigflow_line(x0: Batch, t: Float[Array, " B"], noise: Batch, sigma_data: float = 0.5) -> tuple[Batch, Batch]:
    """(x_t, dx_t/dt) of the line through data and noise: cos(t) x0 + sin(t) z, and cos(t) z - sin(t) x0.

    sigma_data F = dx_t/dt is also what a TrigFlow diffusion model regresses.

    Raises: ValueError when shapes do not match, or sigma_data is not positive.
    Reference: Lu & Song 2025, section 3.
    Example:
      >>> x, slope = trigflow_line(jnp.ones((1, 1)), jnp.array([0.0]), jnp.ones((1, 1)))
      >>> x.item(), slope.item()
      (1.0, 0.5)
    """
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of x0, {list(x0.shape)}, got {list(noise.shape)}")
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    _check_times(x0, t)
    t = jnp.asarray(t, state_type(x0))
    cos, sin, z = expand(jnp.cos(t), x0), expand(jnp.sin(t), x0), sigma_data * noise
    return cos * x0 + sin * z, cos * z - sin * x0


def tangent_warmup(step: ArrayLike, warmup_steps: int = 10_000) -> Array:
    """r = min(1, k / H): training starts as a denoiser's, whose tangent needs no derivative.

    Raises: ValueError when warmup_steps is not positive.
    Reference: Lu & Song 2025, "tangent warmup", H = 10,000.
    Example:
      >>> float(tangent_warmup(2_500))
      0.25
    """
    if warmup_steps < 1:
        raise ValueError(f"warmup_steps must be at least 1, got {warmup_steps}")
    return jnp.minimum(floating(step) / warmup_steps, 1)


def adaptive_log_weight(coefficients: Float[Array, " K"], t: Float[Array, " B"]) -> Float[Array, " B"]:
    """w(t) = sum_k a_k cos(2 k t), any smooth function on (0, pi / 2) as K grows: learned beside the network.

    Where `scm_loss` is least in w, exp(-w(t)) is the mean squared error at t, so that all times weigh alike.

    Args:
      coefficients: a, [K]; start at `jnp.zeros(K)`, with K = 8 or so.
      t: [B].
    Reference: Lu & Song 2025, "adaptive weighting", after Karras et al. 2024 (2312.02696); departure: cosines of
      fixed frequencies, which need no random numbers, in place of a linear layer on random Fourier features.
    Example:
      >>> adaptive_log_weight(jnp.array([1.0, 0.5]), jnp.array([0.0])).tolist()
      [1.5]
    """
    t = floating(t)
    frequency = 2 * jnp.arange(coefficients.shape[0], dtype=t.dtype)
    return jnp.matmul(jnp.cos(t[:, None] * frequency[None]), coefficients, precision="highest")


def _check_times(x: Batch, t: ArrayLike) -> None:
    if jnp.shape(t) != x.shape[:1]:
        raise ValueError(f"t must have shape [{x.shape[0]}], one time per example, got {list(jnp.shape(t))}")
    if not isinstance(t, jax.Array) and not np.all((np.asarray(t) > 0) & (np.asarray(t) <= np.pi / 2)):
        raise ValueError(f"t must lie in (0, pi / 2], got {t}")
