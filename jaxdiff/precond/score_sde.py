"""Networks trained on an SDE in continuous time: their conditioning on time, and their score in native coordinates."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff import predictions
from jaxdiff.precond.base import Preconditioning
from jaxdiff.process.sde import SDE
from jaxdiff.types import Array, Batch, Params, check_outputs, expand


def eps(sde: SDE, num_levels: int = 1000, epsilon: float = 1e-5) -> Preconditioning:
    """Parametrise F as the noise of x_t = a(t) x: c_skip = 1, c_out = -sigma, c_in = a(t), c_noise = (M - 1) t.

    Args:
      sde: VP or sub-VP; t is the time at which it reaches sigma. A VE network takes `precond.ve`.
      num_levels: M, to which DDPM's networks count their time.
      epsilon: earliest time of training; its sigma is sigma_min.
    Reference: Song et al. 2021, section 4.3 and Appendix C; the authors' networks count time to 999.
    Example:
      >>> from jaxdiff.process.sde import subvp
      >>> precond = eps(subvp())
      >>> round(float(precond.c_noise(jnp.array(precond.sigma_max))), 2), float(precond.c_out(jnp.array(2.0)))
      (999.0, -2.0)
    """
    low, high = (float(sde.std(t) / sde.a(t)) for t in np.array([epsilon, 1.0]))
    return Preconditioning(
        *predictions.eps,
        c_in=lambda sigma: sde.a(sde.time(jnp.asarray(sigma))),
        c_noise=lambda sigma: (num_levels - 1) * sde.time(jnp.asarray(sigma)),
        sigma_min=low,
        sigma_max=high,
    )


def score(
    apply_fn: Callable[..., Array], params: Params, precond: Preconditioning, sde: SDE, **cond: Any
) -> Callable[[Batch, Array], Batch]:
    """Make the score (x, t) -> grad_x log p_t(x) of a network, x = x_t in native coordinates.

    ((c_skip - 1) x + a c_out F(c_in x / a, c_noise)) / std^2 at sigma = std / a

    Where c_skip = 1 this avoids the cancellation error of `reverse_sde.score`, which takes a denoiser: a likelihood
    starts where sub-VP's std is 1e-6.

    Args: as `precond.denoiser`, and the SDE.
    Example: a network that is always 1 predicts noise of 1
      >>> from jaxdiff.process.sde import vp
      >>> one = lambda params, x, c_noise: jnp.ones_like(x)
      >>> found = score(one, None, eps(vp()), vp())(jnp.zeros((1, 2)), jnp.array(1.0))
      >>> [round(value, 4) for value in found[0].tolist()]
      [-1.0, -1.0]
    """

    def gradient(x: Batch, t: Array) -> Batch:
        t = jnp.asarray(t, x.dtype)
        a, std = sde.a(t), sde.std(t)
        sigma = std / a
        c_noise = jnp.broadcast_to(precond.c_noise(sigma), x.shape[:1])
        network = check_outputs(lambda x: apply_fn(params, x, c_noise, **cond), "the network")
        f = network(expand(precond.c_in(sigma) / a, x) * x)
        return expand((precond.c_skip(sigma) - 1) / std**2, x) * x + expand(a * precond.c_out(sigma) / std**2, x) * f

    return gradient
