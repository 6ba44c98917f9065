"""Networks that are the identity at the lowest level: consistency models, f(x, sigma_min) = x for every network.

TrigFlow, x_t = cos(t) x0 + sin(t) z with z ~ N(0, sigma_data^2 I), is our x = x0 + sigma n times cos(t), at
sigma = sigma_data tan(t). Its f = cos(t) x_t - sin(t) sigma_data F(x_t / sigma_data, t) is then EDM's row with the
other sign of F, so that an EDM network is a TrigFlow network and the other way round.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import precond
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, ArrayLike, Batch, Params, checked, floating, positive, state_type

TrigFlow = Callable[[Batch, Array], Batch]
"""F(x_t / sigma_data, t): the network of TrigFlow, sigma_data F = dx_t/dt; t is [B]."""


def consistency(
    sigma_data: float = 0.5, sigma_min: float = 0.002, sigma_max: float = 80.0, noise_scale: float = 0.25
) -> Preconditioning:
    """The row of consistency models.

    c_skip = sd^2 / ((sigma - sigma_min)^2 + sd^2)      c_out = (sigma - sigma_min) sd / sqrt(sigma^2 + sd^2)
    c_in = 1 / sqrt(sigma^2 + sd^2)                     c_noise = noise_scale * log(sigma)

    Args:
      sigma_data: sd, standard deviation of the data, > 0.
      sigma_min, sigma_max: range of levels, 0 < sigma_min < sigma_max; f(x, sigma_min) = x.
      noise_scale: 1/4 as in EDM, so that an EDM network is a start; the networks published with the paper count 250.
    Raises: ValueError when an argument is outside these ranges.
    Reference: Song et al. 2023, Appendix C. c_out is not shifted inside the root, as it is written there.
    Example:
      >>> row = consistency(sigma_min=0.002)
      >>> float(row.c_skip(jnp.array(0.002))), float(row.c_out(jnp.array(0.002)))
      (1.0, 0.0)
    """
    _check_range(sigma_min, sigma_max)
    edm = precond.edm(sigma_data)
    return edm._replace(
        c_skip=lambda sigma: sigma_data**2 / ((floating(sigma) - sigma_min) ** 2 + sigma_data**2),
        c_out=lambda sigma: (floating(sigma) - sigma_min) * sigma_data / jnp.sqrt(floating(sigma) ** 2 + sigma_data**2),
        c_noise=lambda sigma: noise_scale * jnp.log(floating(sigma)),
        sigma_min=sigma_min,
        sigma_max=sigma_max,
    )


def additive(sigma_min: float = 0.002, sigma_max: float = 80.0) -> Preconditioning:
    """f = x + (sigma - sigma_min) F(x, log(sigma) / 4): the plainest row with the boundary in it; x is not scaled.

    Raises: ValueError when not 0 < sigma_min < sigma_max.
    Reference: Song et al. 2023, Eq. 5, with c_skip = 1.
    Example:
      >>> float(additive(sigma_min=1.0).c_out(jnp.array(3.0)))
      2.0
    """
    _check_range(sigma_min, sigma_max)
    return Preconditioning(
        c_skip=jnp.ones_like,
        c_out=lambda sigma: floating(sigma) - sigma_min,
        c_in=jnp.ones_like,
        c_noise=lambda sigma: jnp.log(floating(sigma)) / 4,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
    )


def trigflow(sigma_data: float = 0.5) -> Preconditioning:
    """TrigFlow's row in our coordinates: EDM's with -F for F and c_noise = t = arctan(sigma / sigma_data).

    As a denoiser it is the diffusion model, as a consistency function f(x, 0) = x.

    Raises: ValueError when sigma_data is not positive.
    Reference: Lu & Song 2025 (2410.11081), section 3; c_noise = t is its identity time transformation.
    Example:
      >>> row = trigflow(sigma_data=1.0)
      >>> round(float(row.c_noise(jnp.array(1.0))), 4), round(float(row.c_out(jnp.array(1.0))), 4)
      (0.7854, -0.7071)
    """
    edm = precond.edm(sigma_data)
    return edm._replace(
        c_out=lambda sigma: -edm.c_out(sigma), c_noise=lambda sigma: jnp.arctan(floating(sigma) / sigma_data)
    )


def trigflow_time(sigma: ArrayLike, sigma_data: float = 0.5) -> Array:
    """t = arctan(sigma / sigma_data), in (0, pi / 2).

    Raises: ValueError when a level on the host, or sigma_data, is not positive.
    Example:
      >>> round(float(trigflow_time(0.5)), 4)
      0.7854
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    return jnp.arctan(floating(positive(sigma)) / sigma_data)


def trigflow_sigma(t: ArrayLike, sigma_data: float = 0.5) -> Array:
    """sigma = sigma_data tan(t); x_t = cos(t) x has this level.

    Raises: ValueError when a time on the host is outside (0, pi / 2), or sigma_data is not positive.
    Example:
      >>> round(float(trigflow_sigma(0.7853982)), 4)
      0.5
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    if not isinstance(t, jax.Array) and not np.all((np.asarray(t) > 0) & (np.asarray(t) < np.pi / 2)):
        raise ValueError(f"t must lie between 0 and pi / 2, got {t}")
    return sigma_data * jnp.tan(floating(t))


def trigflow_network(apply_fn: Callable[..., Array], params: Params, **cond: Any) -> TrigFlow:
    """F(x_t / sigma_data, t) of a network that was made for the row `trigflow`: the network itself.

    Args: as `precond.denoiser`, without the row.
    Returns: F(u, t), u = x_t / sigma_data [B, ...] of unit variance, t [B].
    Example:
      >>> trigflow_network(lambda params, u, c_noise: params * u, 2.0)(jnp.ones((1, 1)), jnp.ones(1)).item()
      2.0
    """
    network = checked(lambda u, t: apply_fn(params, u, t, **cond), "the network")
    return lambda u, t: network(u, t).astype(state_type(u))


def trigflow_from_edm(apply_fn: Callable[..., Array], params: Params, sigma_data: float = 0.5, **cond: Any) -> TrigFlow:
    """F(x_t / sigma_data, t) of a network that was made for the row `precond.edm`: -F_edm at sigma = sigma_data tan(t).

    How an EDM model is sCM's teacher, and its weights a student's start; such a student is sampled with `precond.edm`.

    Args: as `precond.denoiser`, with sigma_data of the row in its place.
    Returns: as `trigflow_network`.
    Reference: Lu & Song 2025, on TrigFlow and EDM; nothing is divided, so that small t keep their digits.
    Example:
      >>> f = trigflow_from_edm(lambda params, u, c_noise: u, None)
      >>> f(jnp.ones((1, 1)), jnp.ones(1)).item()
      -1.0
    """
    c_noise = precond.edm(sigma_data).c_noise
    network = checked(lambda u, t: apply_fn(params, u, c_noise(trigflow_sigma(t, sigma_data)), **cond), "the network")
    return lambda u, t: -network(u, t).astype(state_type(u))


def _check_range(sigma_min: float, sigma_max: float) -> None:
    if not 0 < sigma_min < sigma_max < np.inf:
        raise ValueError(f"need 0 < sigma_min < sigma_max < inf, got sigma_min={sigma_min}, sigma_max={sigma_max}")
