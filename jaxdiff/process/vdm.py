"""The variance-preserving coordinates of variational diffusion models, and one step of their reverse process.

    z = alpha * f + sigma * eps     alpha^2 = sigmoid(-gamma)     sigma^2 = sigmoid(gamma)

In jaxdiff's coordinates x = z / alpha = f + exp(gamma / 2) * eps: the level is exp(gamma / 2), the parametrisation is
`precond.vdm`, and `reverse_step` draws from `posterior`, which is DDIM with eta = 1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff import predictions
from jaxdiff.process import posterior
from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, check_outputs, expand

EpsModel = Callable[[Batch, Array], Batch]
"""eps_hat(z [B, ...], gamma [B]) -> [B, ...]."""


def alpha_sigma(gamma: ArrayLike, z: Batch) -> tuple[Array, Array]:
    """Compute alpha = sqrt(sigmoid(-gamma)) and sigma = sqrt(sigmoid(gamma)), in the rank of z.

    Args:
      gamma: [] or [B].
      z: [B, ...].
    Returns: two arrays as `types.expand` shapes them.
    Example:
      >>> alpha, sigma = alpha_sigma(0.0, jnp.zeros((2, 3)))
      >>> bool(jnp.isclose(alpha**2, 0.5)), bool(jnp.isclose(sigma**2, 0.5))
      (True, True)
    """
    gamma = expand(jnp.asarray(gamma, z.dtype), z)
    return jnp.sqrt(jax.nn.sigmoid(-gamma)), jnp.sqrt(jax.nn.sigmoid(gamma))


def reverse_step(eps_model: EpsModel, z: Batch, gamma_t: ArrayLike, gamma_s: ArrayLike, noise: Batch) -> Batch:
    """Draw z_s ~ p(z_s | z_t) = q(z_s | z_t, f = f_hat(z_t)), s < t.

    z_s = alpha_s / alpha_t * (z_t - sigma_t c eps_hat) + sigma_s sqrt(c) eps,   c = 1 - exp(gamma_s - gamma_t)

    Args:
      eps_model: eps_hat(z, gamma).
      z: z_t, [B, ...].
      gamma_t, gamma_s: at both ends of the step, [] or [B], gamma_s < gamma_t.
      noise: eps ~ N(0, I), [B, ...].
    Returns: z_s, [B, ...].
    Reference: Kingma et al. 2021, Appendix A.
    Example:
      >>> z = jnp.ones((1, 1))
      >>> z_s = reverse_step(lambda z, gamma: 0 * z, z, 0.0, -jnp.log(3.0), z)
      >>> bool(jnp.isclose(z_s[0, 0], (3 / 2) ** 0.5 + (1 / 4 * 2 / 3) ** 0.5))
      True
    """
    gamma_t = jnp.broadcast_to(jnp.asarray(gamma_t, z.dtype), z.shape[:1])
    eps_hat = check_outputs(eps_model, "eps_model")(z, gamma_t)
    alpha, sigma = alpha_sigma(gamma_t, z)
    below = expand(jnp.asarray(gamma_s, z.dtype), z) - expand(gamma_t, z)
    # In units of the level at t, s^2 = 1 and s'^2 = exp(below); expm1 avoids cancellation error between near levels.
    q = posterior.gaussian(1.0, jnp.exp(below), 1.0, -jnp.expm1(below))
    # x - (1 - r) (x - x0), where x - x0 is the predicted noise.
    return alpha_sigma(gamma_s, z)[0] / alpha * (z - sigma * (q.of_x0 * eps_hat - jnp.sqrt(q.variance) * noise))


def as_eps_model(denoise: Denoiser) -> EpsModel:
    """Make an EpsModel of any denoiser.

    eps_hat(z, gamma) = (x - D(x, sigma)) / sigma,  x = z / alpha,  sigma = exp(gamma / 2)

    In float32 the difference has cancellation error where sigma is small; a network that predicts eps needs no detour.

    Example:
      >>> z, gamma = jnp.full((1, 1), 3.0), jnp.zeros(1)
      >>> bool(jnp.isclose(as_eps_model(lambda x, sigma: 0 * x)(z, gamma)[0, 0], 3 * 2**0.5))
      True
    """

    def eps_hat(z: Batch, gamma: Array) -> Batch:
        x, sigma = z / alpha_sigma(gamma, z)[0], jnp.exp(gamma / 2)
        return predictions.from_x0(predictions.eps, check_outputs(denoise)(x, sigma), x, sigma)

    return eps_hat
