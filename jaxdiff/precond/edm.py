"""The parametrisations of EDM's Table 1: EDM's own, and those of VP, VE and improved DDPM as EDM writes them."""

import jax.numpy as jnp
import numpy as np

from jaxdiff import grids, predictions
from jaxdiff.precond.base import Preconditioning, variance_preserving
from jaxdiff.precond.level_table import on_levels
from jaxdiff.process import schedules
from jaxdiff.types import as_floating


def edm(sigma_data: float = 0.5) -> Preconditioning:
    """Parametrise as EDM: input and target of F have unit variance, errors of F are amplified as little as possible.

    c_skip = sd^2 / (sigma^2 + sd^2)          c_out = sigma * sd / sqrt(sigma^2 + sd^2)
    c_in = 1 / sqrt(sigma^2 + sd^2)           c_noise = log(sigma) / 4

    Args:
      sigma_data: sd, standard deviation of the data, > 0; 0.5 is the paper's for images in [-1, 1].
    Raises: ValueError when sigma_data is not positive.
    Reference: Karras et al. 2022, Table 1, last column.
    Example:
      >>> float(edm(sigma_data=0.5).c_skip(jnp.array(0.5)))
      0.5
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    return Preconditioning(
        c_skip=lambda sigma: sigma_data**2 / (as_floating(sigma) ** 2 + sigma_data**2),
        c_out=lambda sigma: sigma * sigma_data / jnp.sqrt(as_floating(sigma) ** 2 + sigma_data**2),
        c_in=lambda sigma: 1 / jnp.sqrt(as_floating(sigma) ** 2 + sigma_data**2),
        c_noise=lambda sigma: jnp.log(as_floating(sigma)) / 4,
    )


def vp(beta_d: float = 19.9, beta_min: float = 0.1, num_levels: int = 1000, epsilon_t: float = 1e-5) -> Preconditioning:
    """Parametrise F as the noise of a variance-preserving input, conditioned on the time of the VP schedule.

    c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma^2 + 1)   c_noise = (M - 1) * sigma^{-1}(sigma)

    Args:
      beta_d, beta_min: of `schedules.vp`.
      num_levels: M, to which DDPM's networks count their time.
      epsilon_t: earliest time of training; sigma(epsilon_t) is sigma_min.
    Reference: Karras et al. 2022, Table 1, column VP.
    Example:
      >>> float(vp().c_out(jnp.array(2.0)))
      -2.0
    """
    schedule = schedules.vp(beta_d, beta_min)
    low, high = grids.vp_sigma(np.array([epsilon_t, 1.0]), beta_d, beta_min).tolist()
    network = variance_preserving(predictions.eps, lambda sigma: (num_levels - 1) * schedule.sigma_inv(sigma))
    return network._replace(sigma_min=low, sigma_max=high)


def ve(sigma_min: float = 0.02, sigma_max: float = 100.0) -> Preconditioning:
    """Parametrise F as the negative noise of the unscaled input, as NCSN++ does.

    c_skip = 1   c_out = sigma   c_in = 1   c_noise = log(sigma / 2)

    Args:
      sigma_min, sigma_max: range of levels of training.
    Reference: Karras et al. 2022, Table 1, column VE.
    Example:
      >>> float(ve().c_noise(jnp.array(2.0)))
      0.0
    """
    return Preconditioning(
        c_skip=jnp.ones_like,
        c_out=as_floating,
        c_in=jnp.ones_like,
        c_noise=lambda sigma: jnp.log(as_floating(sigma) / 2),
        sigma_min=sigma_min,
        sigma_max=sigma_max,
    )


def iddpm(num_levels: int = 1000, c_1: float = 0.001, c_2: float = 0.008) -> Preconditioning:
    """Parametrise F as the noise of a variance-preserving input, conditioned on the index of the nearest level u_j.

    c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma^2 + 1)   c_noise = M - 1 - argmin_j |u_j - sigma|

    The published networks also return a variance: see `leading_channels`.

    Args:
      num_levels, c_1, c_2: of `grids.iddpm_levels`, which makes u_j.
    Reference: Karras et al. 2022, Table 1, column iDDPM; Nichol & Dhariwal 2021.
    Example:
      >>> precond = iddpm()
      >>> float(precond.c_noise(jnp.array(precond.sigma_min)))
      0.0
    """
    levels = grids.iddpm_levels(num_levels, c_1, c_2)[::-1]  # u_M = 0 comes first, whose index is -1
    return on_levels(predictions.eps, levels, lambda index: index - 1)._replace(sigma_min=float(levels[1]))
