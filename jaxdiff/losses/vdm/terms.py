"""The bound of variational diffusion models in continuous and discrete time, its three terms apart.

    -log p(x) <= -E log p(x | z_0) + KL(q(z_1 | x) || N(0, I)) + diffusion

Coordinates are those of `process.vdm`. A model is any callable eps_hat(z [B, ...], gamma [B]), such as
`functools.partial(net.apply, params)` or `process.vdm.as_eps_model(denoise)`; gamma(t) is any increasing callable that
keeps the shape of t, such as `functools.partial(module.apply, params)` of a module in `process.gamma`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.grids import check_num_steps
from jaxdiff.losses.per_example import check_scalars, check_shape, sum_pixels
from jaxdiff.losses.vdm.decoder import encode, reconstruction_loss
from jaxdiff.process.vdm import EpsModel, alpha_sigma
from jaxdiff.timesteps.times import check_times, discrete_times
from jaxdiff.types import Array, ArrayLike, Batch, Float, check_outputs, expand, state_type

Gamma = Callable[[Array], Array]
"""gamma(t): log of noise to signal at t in [0, 1], in the shape of t."""


class VDMTerms(NamedTuple):
    """-ELBO in its three parts, nats per example, each [B]."""

    reconstruction: Array
    prior: Array
    diffusion: Array

    @property
    def total(self) -> Array:
        """Their sum, [B]."""
        return self.reconstruction + self.prior + self.diffusion


def vdm_elbo(
    eps_model: EpsModel,
    gamma: Gamma,
    pixels: ArrayLike,
    t: Float[Array, " B"],
    noise_0: Batch,
    noise: Batch,
    *,
    bins: int = 256,
    num_steps: int | None = None,
) -> VDMTerms:
    """Estimate the three terms of -ELBO at one time an example.

    The mean of their sum over t, noise_0 and noise bounds -log p(pixels) from above.

    Args:
      eps_model: eps_hat(z, gamma).
      gamma: gamma(t).
      pixels: integers in [0, bins), [B, ...].
      t: times in [0, 1], [B], from `timesteps.antithetic_times` or uniform.
      noise_0, noise: N(0, I) of the reconstruction and of the diffusion term, [B, ...].
      bins: number of grey values.
      num_steps: T of the discrete bound, to whose grid t is rounded up; None for continuous time.
    Returns: `VDMTerms` in nats; `losses.bits.bits_per_dim` converts.
    Raises: ValueError when pixels are not on the grid, as `encode` does, or shapes do not match.
    Reference: Kingma et al. 2021, Eq. 11, with Eq. 17 or 14 for the diffusion loss.
    Example:
      >>> pixels, noise = jnp.zeros((2, 4), jnp.int32), jnp.ones((2, 4))
      >>> terms = vdm_elbo(lambda z, gamma: 0 * z, lambda t: 18 * t - 13, pixels, jnp.array([0.2, 0.7]), noise, noise)
      >>> terms.diffusion.tolist()  # 18 / 2 * |1|^2
      [36.0, 36.0]
    """
    f = encode(pixels, bins).astype(state_type(noise))
    zero, one = jnp.zeros((), f.dtype), jnp.ones((), f.dtype)
    if num_steps is None:
        diffusion = continuous_loss(eps_model, gamma, f, t, noise)
    else:
        diffusion = discrete_loss(eps_model, gamma, f, discrete_times(t, num_steps), noise, num_steps)
    reconstruction = reconstruction_loss(pixels, noise_0, gamma(zero), bins)
    return VDMTerms(reconstruction, prior_loss(f, gamma(one)), diffusion)


def prior_loss(f: Batch, gamma_1: ArrayLike) -> Float[Array, " B"]:
    """Compute KL(q(z_1 | f) || N(0, I)) = 1/2 sum (alpha^2 f^2 + sigma^2 - log sigma^2 - 1) in nats.

    Args:
      f: encoded data [B, ...].
      gamma_1: gamma(1), [] or [B].
    Returns: [B].
    Reference: Kingma et al. 2021, Eq. 11, prior loss.
    Example:
      >>> prior_loss(jnp.zeros((1, 2)), 100.0).tolist()
      [0.0]
    """
    gamma_1 = expand(gamma_1, f)
    # sigma^2 - 1 is written as -alpha^2: both are near 0 where gamma_1 is large.
    kl = (jax.nn.sigmoid(-gamma_1) * (jnp.square(f) - 1) - jax.nn.log_sigmoid(gamma_1)) / 2
    return sum_pixels(kl)


def continuous_loss(
    eps_model: EpsModel, gamma: Gamma, f: Batch, t: Float[Array, " B"], noise: Batch
) -> Float[Array, " B"]:
    """Compute 1/2 gamma'(t) |eps - eps_hat(z_t, gamma(t))|^2, whose mean over t is the bound's diffusion term.

    The mean depends on gamma at 0 and 1 only; in between, the shape changes the variance over t.

    Args:
      eps_model: eps_hat(z, gamma).
      gamma: gamma(t), differentiable.
      f: encoded data [B, ...].
      t: times in [0, 1], [B].
      noise: eps ~ N(0, I), [B, ...].
    Returns: [B], nats.
    Raises: ValueError when shapes do not match or a time on the host is not in [0, 1].
    Reference: Kingma et al. 2021, Eq. 17; Eq. 18 and section 5.1 for the invariance.
    Example:
      >>> f, t, noise = jnp.zeros((1, 2)), jnp.ones(1), jnp.ones((1, 2))
      >>> continuous_loss(lambda z, gamma: 0 * z, lambda t: 6 * t - 3, f, t, noise)
      Array([6.], dtype=float32)
    """
    _check(f, t, noise, 0.0)
    t = jnp.asarray(t)
    gamma_t, slope = jax.jvp(gamma, (t,), (jnp.ones_like(t),))
    return slope / 2 * _error(eps_model, gamma_t, f, noise)


def discrete_loss(
    eps_model: EpsModel, gamma: Gamma, f: Batch, t: Float[Array, " B"], noise: Batch, num_steps: int
) -> Float[Array, " B"]:
    """Compute T / 2 (exp(gamma(t) - gamma(s)) - 1) |eps - eps_hat(z_t, gamma(t))|^2 with s = t - 1 / T.

    Args:
      eps_model, gamma, f, noise: of `continuous_loss`; gamma need not be differentiable.
      t: multiples of 1 / T in [1 / T, 1], [B], as `timesteps.discrete_times` makes them.
      num_steps: T.
    Returns: [B], nats; the mean over such t is the diffusion term of a model with T steps.
    Raises: ValueError when shapes do not match, a time on the host is not in [1 / T, 1], or T is not an integer >= 1.
    Reference: Kingma et al. 2021, Eq. 14.
    Example:
      >>> f, t, noise = jnp.zeros((1, 2)), jnp.ones(1), jnp.ones((1, 2))
      >>> discrete_loss(lambda z, gamma: 0 * z, lambda t: t * jnp.log(3), f, t, noise, num_steps=1)
      Array([2.], dtype=float32)
    """
    check_num_steps(num_steps)
    _check(f, t, noise, 1 / num_steps)
    t = jnp.asarray(t)
    gamma_t = gamma(t)
    return num_steps / 2 * jnp.expm1(gamma_t - gamma(t - 1 / num_steps)) * _error(eps_model, gamma_t, f, noise)


def _error(eps_model: EpsModel, gamma_t: Array, f: Batch, noise: Batch) -> Array:
    """|eps - eps_hat|^2, [B]."""
    alpha, sigma = alpha_sigma(gamma_t, f)
    return sum_pixels(jnp.square(noise - check_outputs(eps_model, "eps_model")(alpha * f + sigma * noise, gamma_t)))


def _check(f: Batch, t: ArrayLike, noise: Batch, earliest: float) -> None:
    check_shape(noise, f, of="f")
    check_scalars(f, t, "t", "time")
    check_times(t, earliest)
