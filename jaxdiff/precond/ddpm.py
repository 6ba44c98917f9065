"""Networks trained on a chain of T steps, as preconditionings: what they predict, conditioned on the step's index.

Each sees x_t = x / sqrt(1 + sigma^2) and the index t of the nearest level of its chain, so that any sampler on any grid
may ask it: a respaced chain needs no other network. To add a prediction, write its coefficients in `predictions`.
"""

import jax.numpy as jnp

from jaxdiff import predictions
from jaxdiff.precond.base import Preconditioning
from jaxdiff.precond.level_table import look_up, nearest, on_levels
from jaxdiff.predictions import Prediction
from jaxdiff.process import posterior
from jaxdiff.process.betas import Betas, sigmas
from jaxdiff.types import Array


def eps(betas: Betas, scale: float = 1.0) -> Preconditioning:
    """Parametrise F as the noise: c_skip = 1, c_out = -sigma.

    Args:
      betas: of the chain that the network was trained on.
      scale: factor on the index; 1000 / T where the network's time always runs to 1000.
    Returns: a Preconditioning with c_in = 1 / sqrt(1 + sigma^2), c_noise = scale t.
    Reference: Ho et al. 2020, Eq. 14; Nichol & Dhariwal's rescale_timesteps for the scale.
    Example:
      >>> from jaxdiff.process import betas
      >>> precond = eps(betas.linear(1000))
      >>> float(precond.c_noise(jnp.array(precond.sigma_max))), float(precond.c_out(jnp.array(2.0)))
      (999.0, -2.0)
    """
    return _of_chain(predictions.eps, betas, scale)


def x0(betas: Betas, scale: float = 1.0) -> Preconditioning:
    """Parametrise F as the clean image: c_skip = 0, c_out = 1.

    Args: as `eps`.
    Reference: Ho et al. 2020, section 3.2.
    Example:
      >>> import numpy as np
      >>> float(x0(np.array([0.2, 0.5])).c_skip(jnp.array(0.5)))
      0.0
    """
    return _of_chain(predictions.x0, betas, scale)


def v(betas: Betas, scale: float = 1.0) -> Preconditioning:
    """Parametrise F as v = alpha n - sqrt(1 - alpha^2) x0, alpha = 1 / sqrt(1 + sigma^2).

    c_skip = 1 / (1 + sigma^2),  c_out = -sigma / sqrt(1 + sigma^2)

    Args: as `eps`.
    Reference: Salimans & Ho 2022, Appendix D.
    Example:
      >>> import numpy as np
      >>> round(float(v(np.array([0.2, 0.5])).c_skip(jnp.array(0.5))), 6)
      0.8
    """
    return _of_chain(predictions.v, betas, scale)


def mu(betas: Betas, scale: float = 1.0, trained: Betas | None = None) -> Preconditioning:
    """Parametrise F as the mean of x_{t-1}, the posterior's of `process.posterior` solved for x0.

    c_skip = -r / (1 - r),  c_out = sqrt(1 + sigma'^2) / (1 - r),  r = sigma'^2 / sigma^2

    sigma' is the level below the nearest one of the chain, so that it holds on this chain only.

    Args:
      betas: of the chain that is sampled; scale as in `eps`.
      trained: of the chain whose indices the network knows, where `betas` is that chain respaced.
    Reference: Ho et al. 2020, Eq. 8. The reverse step's mean is then F itself: (1 - r) D + r x = sqrt(1 + sigma'^2) F.
    Example:
      >>> import numpy as np
      >>> precond = mu(np.array([0.2, 0.5]))
      >>> float(precond.c_skip(jnp.array(0.5))), float(precond.c_out(jnp.array(0.5)))
      (-0.0, 1.0)
    """
    levels = sigmas(betas)
    below = look_up(levels[1:][::-1], nearest(levels[:-1][::-1]))

    def c_skip(sigma: Array) -> Array:
        q = posterior.between(sigma, below(sigma))
        return -q.of_x / q.of_x0

    def c_out(sigma: Array) -> Array:
        return jnp.sqrt(1 + below(sigma) ** 2) / posterior.between(sigma, below(sigma)).of_x0

    return _of_chain(Prediction(c_skip, c_out), betas if trained is None else trained, scale)


def _of_chain(prediction: Prediction, betas: Betas, scale: float) -> Preconditioning:
    return on_levels(prediction, sigmas(betas)[:-1][::-1], lambda t: scale * t)
