"""A parametrisation of one's own."""

import jax.numpy as jnp

from jaxdiff import precond
from jaxdiff.types import as_floating


# The plainest parametrisation with the boundary in it, Song et al. 2023, Eq. 5 with c_skip = 1, as a user writes one.
def additive(sigma_min, sigma_max=80.0):
    """f = x + (sigma - sigma_min) F(x, log(sigma) / 4)."""
    return precond.Preconditioning(
        jnp.ones_like,
        lambda sigma: as_floating(sigma) - sigma_min,
        jnp.ones_like,
        lambda sigma: jnp.log(as_floating(sigma)) / 4,
        sigma_min,
        sigma_max,
    )
