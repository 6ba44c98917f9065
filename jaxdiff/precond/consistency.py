"""Networks that are the identity at the lowest level: consistency models, f(x, sigma_min) = x for every network."""

import jax.numpy as jnp

from jaxdiff import grids
from jaxdiff.precond.base import Preconditioning
from jaxdiff.precond.edm import edm
from jaxdiff.types import as_floating


def consistency(
    sigma_data: float = 0.5, sigma_min: float = 0.002, sigma_max: float = 80.0, noise_scale: float = 0.25
) -> Preconditioning:
    """Parametrise a consistency function: the identity at sigma_min.

    c_skip = sd^2 / ((sigma - sigma_min)^2 + sd^2)      c_out = (sigma - sigma_min) sd / sqrt(sigma^2 + sd^2)
    c_in = 1 / sqrt(sigma^2 + sd^2)                     c_noise = noise_scale * log(sigma)

    Args:
      sigma_data: sd, standard deviation of the data, > 0.
      sigma_min, sigma_max: range of levels, 0 < sigma_min < sigma_max; f(x, sigma_min) = x.
      noise_scale: 1/4 as in EDM, so that an EDM network is a start; the networks published with the paper count 250.
    Raises: ValueError when an argument is outside these ranges.
    Reference: Song et al. 2023, Appendix C. c_out is not shifted inside the root, as it is written there.
    Example:
      >>> precond = consistency(sigma_min=0.002)
      >>> float(precond.c_skip(jnp.array(0.002))), float(precond.c_out(jnp.array(0.002)))
      (1.0, 0.0)
    """
    grids.check_range(sigma_min, sigma_max)
    return edm(sigma_data)._replace(
        c_skip=lambda sigma: sigma_data**2 / ((as_floating(sigma) - sigma_min) ** 2 + sigma_data**2),
        c_out=lambda sigma: (
            (as_floating(sigma) - sigma_min) * sigma_data / jnp.sqrt(as_floating(sigma) ** 2 + sigma_data**2)
        ),
        c_noise=lambda sigma: noise_scale * jnp.log(as_floating(sigma)),
        sigma_min=sigma_min,
        sigma_max=sigma_max,
    )
