"""Networks trained on a chain of T levels: what they predict and how they are told the step, as preconditionings.

Each row sees x_t = x / sqrt(1 + sigma^2) and the index t of the nearest level of its chain, so that any sampler on any
grid may ask it: a respaced chain needs no other network. To add a prediction, write its (c_skip, c_out).
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxdiff import betas as chains
from jaxdiff.betas import Betas
from jaxdiff.precond import Coefficient, Preconditioning
from jaxdiff.types import Array, floating


def eps(betas: Betas, scale: float = 1.0) -> Preconditioning:
    """F is the noise: c_skip = 1, c_out = -sigma.

    Args:
      betas: of the chain that the network was trained on.
      scale: factor on the index; 1000 / T where the network's time always runs to 1000.
    Reference: Ho et al. 2020, Eq. 14; Nichol & Dhariwal's rescale_timesteps for the scale.
    Example:
      >>> row = eps(chains.linear(1000))
      >>> float(row.c_noise(jnp.array(row.sigma_max))), float(row.c_out(jnp.array(2.0)))
      (999.0, -2.0)
    """
    return _row(jnp.ones_like, lambda sigma: -floating(sigma), betas, scale)


def x0(betas: Betas, scale: float = 1.0) -> Preconditioning:
    """F is the clean image: c_skip = 0, c_out = 1.

    Args: as `eps`.
    Reference: Ho et al. 2020, section 3.2.
    """
    return _row(jnp.zeros_like, jnp.ones_like, betas, scale)


def v(betas: Betas, scale: float = 1.0) -> Preconditioning:
    """F is v = alpha n - sqrt(1 - alpha^2) x0: c_skip = 1 / (1 + sigma^2), c_out = -sigma / sqrt(1 + sigma^2).

    Args: as `eps`.
    Reference: Salimans & Ho 2022, Appendix D.
    """
    return _row(
        lambda sigma: 1 / (1 + floating(sigma) ** 2),
        lambda sigma: -floating(sigma) / jnp.sqrt(1 + floating(sigma) ** 2),
        betas,
        scale,
    )


def mu(betas: Betas, scale: float = 1.0, trained: Betas | None = None) -> Preconditioning:
    """F is the mean of x_{t-1}: c_skip = -r / (1 - r), c_out = sqrt(1 + sigma'^2) / (1 - r), r = sigma'^2 / sigma^2.

    sigma' is the level below the nearest one of the chain, so that it holds on this chain only.

    Args:
      betas: of the chain that is sampled; scale as in `eps`.
      trained: of the chain whose indices the network knows, where `betas` is that chain respaced.
    Reference: Ho et al. 2020, Eq. 8. The reverse step's mean is then F itself: (1 - r) D + r x = sqrt(1 + sigma'^2) F.
    Example:
      >>> row = mu(np.array([0.2, 0.5]))
      >>> float(row.c_skip(jnp.array(0.5))), float(row.c_out(jnp.array(0.5)))
      (-0.0, 1.0)
    """
    levels = chains.sigmas(betas)
    below = _table(levels[1:][::-1], _nearest(levels[:-1][::-1]))

    def ratio(sigma: Array) -> Array:
        return (below(sigma) / sigma) ** 2

    return _row(
        lambda sigma: -ratio(sigma) / (1 - ratio(sigma)),
        lambda sigma: jnp.sqrt(1 + below(sigma) ** 2) / (1 - ratio(sigma)),
        betas if trained is None else trained,
        scale,
    )


def _row(c_skip: Coefficient, c_out: Coefficient, betas: Betas, scale: float) -> Preconditioning:
    levels = chains.sigmas(betas)[:-1][::-1]
    nearest = _nearest(levels)
    return Preconditioning(
        c_skip=c_skip,
        c_out=c_out,
        c_in=lambda sigma: 1 / jnp.sqrt(1 + floating(sigma) ** 2),
        c_noise=lambda sigma: scale * nearest(sigma).astype(floating(sigma).dtype),
        sigma_min=float(levels[0]),
        sigma_max=float(levels[-1]),
        round_sigma=_table(levels, nearest),
    )


def _nearest(levels: np.ndarray) -> Callable[[Array], Array]:
    """Index of the nearest of increasing levels: the number of midpoints below sigma."""
    midpoints = (levels[1:] + levels[:-1]) / 2
    return lambda sigma: jnp.searchsorted(jnp.asarray(midpoints, floating(sigma).dtype), sigma)


def _table(values: np.ndarray, index: Callable[[Array], Array]) -> Coefficient:
    return lambda sigma: jnp.asarray(values, floating(sigma).dtype)[index(sigma)]
