"""Variational diffusion models: the network predicts the noise and is conditioned on gamma = log(sigma^2)."""

import jax.numpy as jnp
import numpy as np

from jaxdiff import predictions
from jaxdiff.precond.base import Preconditioning, variance_preserving
from jaxdiff.types import as_floating


def vdm(gamma_min: float = -13.3, gamma_max: float = 5.0) -> Preconditioning:
    """Parametrise F as the noise of a variance-preserving input, conditioned on gamma = log(sigma^2).

    c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma^2 + 1)   c_noise = 2 * log(sigma)

    Args:
      gamma_min, gamma_max: gamma(0) and gamma(1), the range on which the network was trained.
    Reference: Kingma et al. 2021, section 3.4.
    Example:
      >>> float(vdm().c_noise(jnp.array(1.0)))
      0.0
    """
    low, high = np.exp([gamma_min / 2, gamma_max / 2]).tolist()
    network = variance_preserving(predictions.eps, lambda sigma: 2 * jnp.log(as_floating(sigma)))
    return network._replace(sigma_min=low, sigma_max=high)
