"""A network becomes a denoiser by four functions of sigma.

    D(x, sigma) = c_skip(sigma) * x + c_out(sigma) * F(c_in(sigma) * x, c_noise(sigma))

To add a parametrisation, write one function that returns a `Preconditioning`; nothing else changes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxdiff.types import Array, Batch, Denoiser, Float, Params, expand, state_type

Coefficient = Callable[[Float], Float]


class Preconditioning(NamedTuple):
    """Four coefficients and the levels for which the network was trained.

    `round_sigma` maps a level to the nearest one that the network knows; most know them all.
    """

    c_skip: Coefficient
    c_out: Coefficient
    c_in: Coefficient
    c_noise: Coefficient
    sigma_min: float = 0.0
    sigma_max: float = float("inf")
    round_sigma: Coefficient = lambda sigma: sigma


def edm(sigma_data: float = 0.5) -> Preconditioning:
    """EDM's coefficients: input and target of F have unit variance, errors of F are amplified as little as possible.

    c_skip = sd^2 / (sigma^2 + sd^2)          c_out = sigma * sd / sqrt(sigma^2 + sd^2)
    c_in = 1 / sqrt(sigma^2 + sd^2)           c_noise = log(sigma) / 4

    Args:
      sigma_data: sd, standard deviation of the data, > 0; 0.5 is the paper's for images in [-1, 1].
    Raises: ValueError when sigma_data is not positive.
    Reference: Karras et al. 2022, Table 1, last column.
    Example:
      >>> p = edm(sigma_data=0.5)
      >>> float(p.c_skip(jnp.array(0.5)))
      0.5
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    return Preconditioning(
        c_skip=lambda sigma: sigma_data**2 / (sigma**2 + sigma_data**2),
        c_out=lambda sigma: sigma * sigma_data / jnp.sqrt(sigma**2 + sigma_data**2),
        c_in=lambda sigma: 1 / jnp.sqrt(sigma**2 + sigma_data**2),
        c_noise=lambda sigma: jnp.log(sigma) / 4,
    )


def denoiser(apply_fn: Callable[..., Array], params: Params, precond: Preconditioning, **cond: Any) -> Denoiser:
    """D(x, sigma) from a network; what it is conditioned on is closed over.

    Args:
      apply_fn: `apply_fn(params, x, c_noise, **cond) -> [B, ...]`, for a Flax module its `apply`.
      params: its first argument.
      precond: the four coefficients.
      **cond: further arguments of the network: class labels, a dropout key, ...
    Returns: a denoiser whose output is float32 (float64 where x is) whatever the network computes in.
    Reference: Karras et al. 2022, Eq. 7.
    Example:
      >>> d = denoiser(lambda params, x, c_noise: params * x, 0.0, edm(sigma_data=1.0))
      >>> d(jnp.ones((1, 2)), jnp.array(1.0)).tolist()
      [[0.5, 0.5]]
    """

    def denoise(x: Batch, sigma: Float) -> Batch:
        x = x.astype(state_type(x))
        sigma = jnp.asarray(sigma, x.dtype)
        c_skip, c_out, c_in = (expand(c(sigma), x) for c in (precond.c_skip, precond.c_out, precond.c_in))
        f = apply_fn(params, c_in * x, precond.c_noise(sigma), **cond)
        return c_skip * x + c_out * f.astype(x.dtype)

    return denoise
