"""sCM: continuous-time consistency models in TrigFlow, x_t = cos(t) x0 + sin(t) z with z ~ N(0, sigma_data^2 I).

    f(x_t, t) = cos(t) x_t - sin(t) sigma_data F(x_t / sigma_data, t)

t = arctan(sigma / sigma_data), in (0, pi / 2), is `precond.trigflow_time` of levels such as
`timesteps.lognormal_sigma(normal, -1.0, 1.4)`. The network F(u, t) is any callable; `precond.trigflow_network` and
`precond.trigflow_from_edm` make it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses.per_example import check_scalars, check_shape, check_teacher, mean_pixels, sum_pixels
from jaxdiff.precond.trigflow import TrigFlowNetwork
from jaxdiff.types import Array, ArrayLike, Batch, Float, as_floating, check_outputs, expand, state_type


def scm_tangent(
    network: TrigFlowNetwork,
    x: Batch,
    t: Float[Array, " B"],
    slope: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
) -> tuple[Batch, Batch]:
    """Compute F(x / sd, t) and the tangent g = cos(t) df/dt, that of f with its prior weight.

    g = -cos^2(t) (sd F - dx/dt) - r cos(t) sin(t) (x + sd dF/dt)

    Args:
      network: F(u, t); x: x_t, [B, ...]; t: [B].
      slope: dx_t/dt, [B, ...].
      sigma_data: sd.
      warmup: r in [0, 1], [] and maybe traced: `timesteps.curricula.tangent_warmup`.
    Returns: (F, g), [B, ...] each, before normalisation; cos(t) sin(t) dF/dt is one Jacobian-vector product, which
      stays finite where c_noise is log(sigma).
    Raises: ValueError when t or slope has another shape, or a time on the host is outside (0, pi / 2].
    Reference: Lu & Song 2025 (2410.11081), Alg. 1, and its rearranged Jacobian-vector product.
    Example:
      >>> _, g = scm_tangent(lambda u, t: 0 * u, jnp.ones((1, 1)), jnp.array([jnp.pi / 4]), jnp.zeros((1, 1)))
      >>> round(g.item(), 4)
      -0.5
    """
    _check_times(x, t)
    check_shape(slope, x, "slope", "x")
    t = jnp.asarray(t, state_type(x))
    cos, sin = jnp.cos(t), jnp.sin(t)
    both = expand(cos * sin, x)
    value, derivative = jax.jvp(
        check_outputs(network, "network"), (x / sigma_data, t), (both * slope / sigma_data, cos * sin)
    )
    g = -expand(cos**2, x) * (sigma_data * value - slope) - jnp.asarray(warmup) * (both * x + sigma_data * derivative)
    return value, g


def scm_loss(
    network: TrigFlowNetwork,
    x: Batch,
    t: Float[Array, " B"],
    slope: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
    log_weight: ArrayLike = 0.0,
    c: float = 0.1,
) -> Float[Array, " B"]:
    """Compute sCM's loss on any trajectory, whose slope is given.

    exp(w) / D |F - stop(F) - stop(g) / (|g| + c)|^2 - w,  g from `scm_tangent`, D pixels

    The gradient is that of f's consistency; the value is not, since F - stop(F) is 0.

    Args:
      network, x, t, slope, sigma_data, warmup: of `scm_tangent`.
      log_weight: w(t), [] or [B], learned with the network: `adaptive_log_weight`; 0 weighs all times alike.
      c: > 0, below which the tangent is not normalised.
    Returns: [B].
    Raises: ValueError when c is not positive, or as `scm_tangent`.
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
    norm = expand(jnp.sqrt(sum_pixels(jnp.square(g))), x)
    error = mean_pixels(jnp.square(value - jax.lax.stop_gradient(value) - g / (norm + c)))
    return jnp.exp(jnp.asarray(log_weight)) * error - jnp.asarray(log_weight)


def sct_loss(
    network: TrigFlowNetwork,
    x0: Batch,
    t: Float[Array, " B"],
    noise: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
    log_weight: ArrayLike = 0.0,
    c: float = 0.1,
) -> Float[Array, " B"]:
    """Compute `scm_loss` along the arc of data and noise, dx_t/dt = cos(t) z - sin(t) x0, z = sigma_data n.

    Args:
      network: F(u, t); x0: [B, ...]; t: [B]; noise: n ~ N(0, I), [B, ...].
      sigma_data, warmup, log_weight, c: of `scm_loss`.
    Returns: [B].
    Raises: ValueError when noise has another shape, or as `scm_loss`.
    Reference: Lu & Song 2025, Alg. 1, consistency training.
    Example: for the data point 0 the slope is sigma_data F, and f = 0 is consistent
      >>> x0, t = jnp.zeros((1, 1)), jnp.array([0.5])
      >>> network = lambda u, t: u / jnp.tan(t)[:, None]
      >>> abs(round(sct_loss(network, x0, t, jnp.ones((1, 1))).item(), 6))
      0.0
    """
    x, slope = trigflow_path(x0, t, noise, sigma_data)
    return scm_loss(network, x, t, slope, sigma_data=sigma_data, warmup=warmup, log_weight=log_weight, c=c)


def scd_loss(
    network: TrigFlowNetwork,
    teacher: TrigFlowNetwork,
    x0: Batch,
    t: Float[Array, " B"],
    noise: Batch,
    *,
    sigma_data: float = 0.5,
    warmup: ArrayLike = 1.0,
    log_weight: ArrayLike = 0.0,
    c: float = 0.1,
) -> Float[Array, " B"]:
    """Compute `scm_loss` along the teacher's flow, dx_t/dt = sigma_data F_teacher(x_t / sigma_data, t).

    Args:
      network: F(u, t); teacher: F of the diffusion model, `precond.trigflow_from_edm` for an EDM network.
      x0, t, noise, sigma_data, warmup, log_weight, c: of `sct_loss`.
    Returns: [B].
    Raises: ValueError when there is no teacher, or as `sct_loss`.
    Reference: Lu & Song 2025, Alg. 1, consistency distillation.
    Example: as for `sct_loss`
      >>> x0, t = jnp.zeros((1, 1)), jnp.array([0.5])
      >>> network = lambda u, t: u / jnp.tan(t)[:, None]
      >>> abs(round(scd_loss(network, network, x0, t, jnp.ones((1, 1))).item(), 6))
      0.0
    """
    check_teacher(teacher, "teacher", "F(x_t / sigma_data, t)")
    x, _ = trigflow_path(x0, t, noise, sigma_data)
    slope = jax.lax.stop_gradient(
        sigma_data * check_outputs(teacher, "teacher")(x / sigma_data, jnp.asarray(t, state_type(x)))
    )
    return scm_loss(network, x, t, slope, sigma_data=sigma_data, warmup=warmup, log_weight=log_weight, c=c)


def trigflow_path(x0: Batch, t: Float[Array, " B"], noise: Batch, sigma_data: float = 0.5) -> tuple[Batch, Batch]:
    """Compute x_t = cos(t) x0 + sin(t) z and its slope dx_t/dt = cos(t) z - sin(t) x0, z = sigma_data n.

    The slope is what sigma_data F of a TrigFlow diffusion model regresses.

    Args:
      x0: [B, ...]; t: [B] in (0, pi / 2]; noise: n ~ N(0, I), [B, ...]; sigma_data: of the data, > 0.
    Returns: (x_t, dx_t/dt), [B, ...] each.
    Raises: ValueError when shapes do not match, or sigma_data is not positive.
    Reference: Lu & Song 2025, section 3.
    Example:
      >>> x, slope = trigflow_path(jnp.ones((1, 1)), jnp.array([0.0]), jnp.ones((1, 1)))
      >>> x.item(), slope.item()
      (1.0, 0.5)
    """
    check_shape(noise, x0)
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    _check_times(x0, t)
    t = jnp.asarray(t, state_type(x0))
    cos, sin, z = expand(jnp.cos(t), x0), expand(jnp.sin(t), x0), sigma_data * noise
    return cos * x0 + sin * z, cos * z - sin * x0


def adaptive_log_weight(coefficients: Float[Array, " K"], t: Float[Array, " B"]) -> Float[Array, " B"]:
    """Compute w(t) = sum_k a_k cos(2 k t), any smooth function on (0, pi / 2) as K grows, trained with the network.

    Where `scm_loss` is least in w, exp(-w(t)) is the mean squared error at t, so that all times weigh alike.

    Args:
      coefficients: a, [K]; start at `jnp.zeros(K)`, with K = 8 or so.
      t: [B].
    Returns: [B].
    Reference: Lu & Song 2025, "adaptive weighting", after Karras et al. 2024 (2312.02696); departure: cosines of
      fixed frequencies, which need no random numbers, instead of a linear layer on random Fourier features.
    Example:
      >>> adaptive_log_weight(jnp.array([1.0, 0.5]), jnp.array([0.0])).tolist()
      [1.5]
    """
    t = as_floating(t)
    frequency = 2 * jnp.arange(coefficients.shape[0], dtype=t.dtype)
    return jnp.matmul(jnp.cos(t[:, None] * frequency[None]), coefficients, precision="highest")


def _check_times(x: Batch, t: ArrayLike) -> None:
    check_scalars(x, t, "t", "time")
    if not isinstance(t, jax.Array) and not np.all((np.asarray(t) > 0) & (np.asarray(t) <= np.pi / 2)):
        raise ValueError(f"t must lie in (0, pi / 2], got {t}")
