"""TrigFlow's parametrisation: x_t = cos(t) x0 + sin(t) z with z ~ N(0, sigma_data^2 I).

That is our x = x0 + sigma n times cos(t), at sigma = sigma_data tan(t). Its f = cos(t) x_t - sin(t) sigma_data
F(x_t / sigma_data, t) is then EDM's parametrisation with the other sign of F, so that an EDM network is a TrigFlow
network and the other way round.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.precond.base import Preconditioning
from jaxdiff.precond.edm import edm
from jaxdiff.types import Array, ArrayLike, Batch, Params, as_floating, check_outputs, check_positive, state_type

TrigFlowNetwork = Callable[[Batch, Array], Batch]
"""F(x_t / sigma_data, t): the network of TrigFlow, sigma_data F = dx_t/dt; t is [B]."""


def trigflow(sigma_data: float = 0.5) -> Preconditioning:
    """Parametrise as TrigFlow, which is EDM with -F for F and c_noise = t = arctan(sigma / sigma_data).

    As a denoiser it is the diffusion model, as a consistency function f(x, 0) = x.

    Raises: ValueError when sigma_data is not positive.
    Reference: Lu & Song 2025 (2410.11081), section 3; c_noise = t is its identity time transformation.
    Example:
      >>> precond = trigflow(sigma_data=1.0)
      >>> round(float(precond.c_noise(jnp.array(1.0))), 4), round(float(precond.c_out(jnp.array(1.0))), 4)
      (0.7854, -0.7071)
    """
    base = edm(sigma_data)
    return base._replace(
        c_out=lambda sigma: -base.c_out(sigma), c_noise=lambda sigma: jnp.arctan(as_floating(sigma) / sigma_data)
    )


def trigflow_time(sigma: ArrayLike, sigma_data: float = 0.5) -> Array:
    """Convert a level to the time t = arctan(sigma / sigma_data), in (0, pi / 2).

    Args:
      sigma: [] or [B], > 0; sigma_data: standard deviation of the data, > 0.
    Raises: ValueError when a level on the host, or sigma_data, is not positive.
    Example:
      >>> round(float(trigflow_time(0.5)), 4)
      0.7854
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    return jnp.arctan(as_floating(check_positive(sigma)) / sigma_data)


def trigflow_sigma(t: ArrayLike, sigma_data: float = 0.5) -> Array:
    """Convert a time to the level sigma = sigma_data tan(t) of x, where x_t = cos(t) x.

    Args:
      t: [] or [B], in (0, pi / 2); sigma_data: standard deviation of the data, > 0.
    Raises: ValueError when a time on the host is outside (0, pi / 2), or sigma_data is not positive.
    Example:
      >>> round(float(trigflow_sigma(0.7853982)), 4)
      0.5
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    if not isinstance(t, jax.Array) and not np.all((np.asarray(t) > 0) & (np.asarray(t) < np.pi / 2)):
        raise ValueError(f"t must lie between 0 and pi / 2, got {t}")
    return sigma_data * jnp.tan(as_floating(t))


def trigflow_network(apply_fn: Callable[..., Array], params: Params, **cond: Any) -> TrigFlowNetwork:
    """Make F(x_t / sigma_data, t) of a network with the parametrisation `trigflow`: the network itself.

    Args: as `precond.denoiser`, without the parametrisation.
    Returns: F(u, t), u = x_t / sigma_data [B, ...] of unit variance, t [B].
    Example:
      >>> trigflow_network(lambda params, u, c_noise: params * u, 2.0)(jnp.ones((1, 1)), jnp.ones(1)).item()
      2.0
    """
    network = check_outputs(lambda u, t: apply_fn(params, u, t, **cond), "the network")
    return lambda u, t: network(u, t).astype(state_type(u))


def trigflow_from_edm(
    apply_fn: Callable[..., Array], params: Params, sigma_data: float = 0.5, **cond: Any
) -> TrigFlowNetwork:
    """Make F(x_t / sigma_data, t) of a network with the parametrisation `edm`: -F_edm at sigma = sigma_data tan(t).

    How an EDM model is sCM's teacher, and its weights a student's start; such a student is sampled with `precond.edm`.

    Args: as `precond.denoiser`, with sigma_data instead of the parametrisation.
    Returns: as `trigflow_network`.
    Reference: Lu & Song 2025, on TrigFlow and EDM; no division, and so no loss of precision at small t.
    Example:
      >>> f = trigflow_from_edm(lambda params, u, c_noise: u, None)
      >>> f(jnp.ones((1, 1)), jnp.ones(1)).item()
      -1.0
    """
    c_noise = edm(sigma_data).c_noise
    network = check_outputs(
        lambda u, t: apply_fn(params, u, c_noise(trigflow_sigma(t, sigma_data)), **cond), "the network"
    )
    return lambda u, t: -network(u, t).astype(state_type(u))
