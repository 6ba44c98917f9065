"""A network becomes a denoiser by four functions of sigma.

    D(x, sigma) = c_skip(sigma) * x + c_out(sigma) * F(c_in(sigma) * x, c_noise(sigma))

To add a parametrisation, write one function that returns a `Preconditioning`; nothing else changes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff import grids, schedules
from jaxdiff.types import Array, Batch, Denoiser, Params, checked, expand, floating, positive, state_type

Coefficient = Callable[[Array], Array]


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
        c_skip=lambda sigma: sigma_data**2 / (floating(sigma) ** 2 + sigma_data**2),
        c_out=lambda sigma: sigma * sigma_data / jnp.sqrt(floating(sigma) ** 2 + sigma_data**2),
        c_in=lambda sigma: 1 / jnp.sqrt(floating(sigma) ** 2 + sigma_data**2),
        c_noise=lambda sigma: jnp.log(floating(sigma)) / 4,
    )


def vp(beta_d: float = 19.9, beta_min: float = 0.1, num_levels: int = 1000, epsilon_t: float = 1e-5) -> Preconditioning:
    """F predicts the noise of a variance-preserving input, labelled by the time of the VP schedule.

    c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma^2 + 1)   c_noise = (M - 1) * sigma^{-1}(sigma)

    Args:
      beta_d, beta_min: of `schedules.vp`.
      num_levels: M, to which DDPM's networks count their time.
      epsilon_t: earliest time of training; sigma(epsilon_t) is sigma_min.
    Reference: Karras et al. 2022, Table 1, column VP.
    Example:
      >>> p = vp()
      >>> float(p.c_out(jnp.array(2.0)))
      -2.0
    """
    schedule = schedules.vp(beta_d, beta_min)
    low, high = np.sqrt(np.expm1([0.5 * beta_d * t**2 + beta_min * t for t in (epsilon_t, 1.0)])).tolist()
    return _eps(lambda sigma: (num_levels - 1) * schedule.sigma_inv(sigma))._replace(sigma_min=low, sigma_max=high)


def ve(sigma_min: float = 0.02, sigma_max: float = 100.0) -> Preconditioning:
    """F predicts the negative noise from the unscaled input, as NCSN++ does.

    c_skip = 1   c_out = sigma   c_in = 1   c_noise = log(sigma / 2)

    Reference: Karras et al. 2022, Table 1, column VE.
    Example:
      >>> float(ve().c_noise(jnp.array(2.0)))
      0.0
    """
    return Preconditioning(
        c_skip=jnp.ones_like,
        c_out=floating,
        c_in=jnp.ones_like,
        c_noise=lambda sigma: jnp.log(floating(sigma) / 2),
        sigma_min=sigma_min,
        sigma_max=sigma_max,
    )


def vdm(gamma_min: float = -13.3, gamma_max: float = 5.0) -> Preconditioning:
    """F predicts the noise of a variance-preserving input, labelled by gamma = log(sigma^2).

    c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma^2 + 1)   c_noise = 2 * log(sigma)

    Args:
      gamma_min, gamma_max: gamma(0) and gamma(1), the range on which the network was trained.
    Reference: Kingma et al. 2021, section 3.4.
    Example:
      >>> float(vdm().c_noise(jnp.array(1.0)))
      0.0
    """
    low, high = np.exp([gamma_min / 2, gamma_max / 2]).tolist()
    return _eps(lambda sigma: 2 * jnp.log(floating(sigma)))._replace(sigma_min=low, sigma_max=high)


def iddpm(num_levels: int = 1000, c_1: float = 0.001, c_2: float = 0.008) -> Preconditioning:
    """F predicts the noise of a variance-preserving input, labelled by the index of the nearest level it knows.

    c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma^2 + 1)   c_noise = M - 1 - argmin_j |u_j - sigma|

    The published networks also return a variance: see `leading_channels`.

    Args:
      num_levels, c_1, c_2: of `grids.iddpm_levels`, which makes u_j.
    Reference: Karras et al. 2022, Table 1, column iDDPM; Nichol & Dhariwal 2021.
    Example:
      >>> p = iddpm()
      >>> float(p.c_noise(jnp.array(p.sigma_min)))
      0.0
    """
    levels = grids.iddpm_levels(num_levels, c_1, c_2)

    def nearest(sigma: Array) -> Array:
        # Levels decrease, so that the index of the nearest is the number of midpoints above sigma.
        midpoints = jnp.asarray((levels[1:] + levels[:-1]) / 2, floating(sigma).dtype)
        return num_levels - jnp.searchsorted(midpoints[::-1], sigma, side="right")

    return _eps(lambda sigma: (num_levels - 1 - nearest(sigma)).astype(floating(sigma).dtype))._replace(
        sigma_min=float(levels[num_levels - 1]),
        sigma_max=float(levels[0]),
        round_sigma=lambda sigma: jnp.asarray(levels, floating(sigma).dtype)[nearest(sigma)],
    )


def _eps(c_noise: Coefficient) -> Preconditioning:
    """The row shared by all networks that predict the noise of x / sqrt(1 + sigma^2)."""
    return Preconditioning(
        c_skip=jnp.ones_like,
        c_out=lambda sigma: -floating(sigma),
        c_in=lambda sigma: 1 / jnp.sqrt(floating(sigma) ** 2 + 1),
        c_noise=c_noise,
    )


def leading_channels(apply_fn: Callable[..., Array]) -> Callable[..., Array]:
    """Drop the output channels beyond the input's: the variance that iDDPM and ADM networks return beside the mean.

    Example:
      >>> leading_channels(lambda params, x, c_noise: jnp.concatenate([x, x], -1))(None, jnp.ones((1, 3)), 0.0).shape
      (1, 3)
    """
    return lambda params, x, c_noise, **cond: apply_fn(params, x, c_noise, **cond)[..., : x.shape[-1]]


def denoiser(apply_fn: Callable[..., Any], params: Params, precond: Preconditioning, **cond: Any) -> Denoiser:
    """D(x, sigma) from a network; what it is conditioned on is closed over.

    Args:
      apply_fn: `apply_fn(params, x, c_noise, **cond) -> [B, ...]`, for a Flax module its `apply`.
      params: its first argument.
      precond: the four coefficients.
      **cond: further arguments of the network: class labels, a dropout key, ...
    Returns: a denoiser whose output is float32 (float64 where x is) whatever the network computes in; it raises
      ValueError when it is given a sigma on the host that is not positive, or the network's output is not floats of
      the shape of x; of more channels see `leading_channels` and `denoiser_with_variance`.
    Reference: Karras et al. 2022, Eq. 7.
    Example:
      >>> d = denoiser(lambda params, x, c_noise: params * x, 0.0, edm(sigma_data=1.0))
      >>> d(jnp.ones((1, 2)), jnp.array(1.0)).tolist()
      [[0.5, 0.5]]
    """

    def denoise(x: Batch, sigma: Array) -> Batch:
        x = x.astype(state_type(x))
        sigma = jnp.asarray(positive(sigma), x.dtype)
        c_skip, c_out, c_in = (expand(c(sigma), x) for c in (precond.c_skip, precond.c_out, precond.c_in))
        network = checked(lambda x: apply_fn(params, x, precond.c_noise(sigma), **cond), "the network")
        return c_skip * x + c_out * network(c_in * x).astype(x.dtype)

    return denoise


def denoiser_with_variance(
    apply_fn: Callable[..., Any], params: Params, precond: Preconditioning, **cond: Any
) -> Callable[[Batch, Array], tuple[Batch, Batch]]:
    """(x, sigma) -> (D(x, sigma), values) from a network whose output has twice the channels of its input.

    Args: as `denoiser`.
    Returns: the posterior mean of the first half, and the second half as it is, which says what the variance of the
      reverse step is: see `reverse.learned_range`.
    Raises: ValueError when the network does not have twice the channels.
    Reference: Nichol & Dhariwal 2021, section 3.1.
    Example:
      >>> model = denoiser_with_variance(lambda params, x, c_noise: jnp.concatenate([0 * x, x], -1), None, edm())
      >>> [part.shape for part in model(jnp.ones((1, 3)), jnp.array(1.0))]
      [(1, 3), (1, 3)]
    """

    def both(x: Batch, sigma: Array) -> tuple[Batch, Batch]:
        outputs: list[Array] = []

        def first_half(params: Params, x: Batch, c_noise: Array, **cond: Any) -> Batch:
            outputs.append(apply_fn(params, x, c_noise, **cond))
            if outputs[0].shape[-1] != 2 * x.shape[-1]:
                raise ValueError(
                    f"a learned variance needs {2 * x.shape[-1]} output channels, got {outputs[0].shape[-1]}"
                )
            return outputs[0][..., : x.shape[-1]]

        x0_hat = denoiser(first_half, params, precond, **cond)(x, sigma)
        return x0_hat, outputs[0][..., x.shape[-1] :].astype(x0_hat.dtype)

    return both
