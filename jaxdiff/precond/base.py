"""A network becomes a denoiser by four functions of sigma.

    D(x, sigma) = c_skip(sigma) * x + c_out(sigma) * F(c_in(sigma) * x, c_noise(sigma))

To add a parametrisation, write one function that returns a `Preconditioning`, in the file of its family.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxdiff.predictions import Coefficient, Prediction
from jaxdiff.types import Array, Batch, Denoiser, Params, as_floating, check_outputs, check_positive, expand, state_type


class Preconditioning(NamedTuple):
    """Four coefficients and the levels for which the network was trained.

    `round_sigma` maps a level to the nearest one of a network trained on a table of levels, else to itself.
    """

    c_skip: Coefficient
    c_out: Coefficient
    c_in: Coefficient
    c_noise: Coefficient
    sigma_min: float = 0.0
    sigma_max: float = float("inf")
    round_sigma: Coefficient = lambda sigma: sigma


def variance_preserving(prediction: Prediction, c_noise: Coefficient) -> Preconditioning:
    """Parametrise networks of x_t = x / sqrt(1 + sigma^2) by what they predict and how they see the level.

    Args:
      prediction: (c_skip, c_out), from `predictions`.
      c_noise: of sigma.
    Returns: a Preconditioning with c_in = 1 / sqrt(1 + sigma^2).
    Example:
      >>> from jaxdiff import predictions
      >>> round(float(variance_preserving(predictions.eps, jnp.log).c_in(jnp.array(0.75))), 6)
      0.8
    """
    return Preconditioning(*prediction, c_in=lambda sigma: 1 / jnp.sqrt(as_floating(sigma) ** 2 + 1), c_noise=c_noise)


def leading_channels(apply_fn: Callable[..., Array]) -> Callable[..., Array]:
    """Drop the output channels beyond the input's: the variance that iDDPM and ADM networks return as well.

    Example:
      >>> leading_channels(lambda params, x, c_noise: jnp.concatenate([x, x], -1))(None, jnp.ones((1, 3)), 0.0).shape
      (1, 3)
    """
    return lambda params, x, c_noise, **cond: apply_fn(params, x, c_noise, **cond)[..., : x.shape[-1]]


def denoiser(apply_fn: Callable[..., Any], params: Params, precond: Preconditioning, **cond: Any) -> Denoiser:
    """Make the denoiser D(x, sigma) of a network; its conditioning is closed over.

    D(x, sigma) = c_skip x + c_out F(c_in x, c_noise)

    Args:
      apply_fn: `apply_fn(params, x, c_noise, **cond) -> [B, ...]`, for a Flax Linen module its `apply`; c_noise is
        [B], as in training, for the one sigma of a sampler too.
      params: its first argument.
      precond: the parametrisation.
      **cond: further arguments of the network: class labels, a dropout key, ...
    Returns: a denoiser whose output is float32 (float64 where x is) whatever the network computes in; it raises
      ValueError when it is given a sigma on the host that is not positive, or the network's output is not floats of
      the shape of x; of more channels see `leading_channels` and `denoiser_with_variance`.
    Reference: Karras et al. 2022, Eq. 7.
    Example:
      >>> from jaxdiff.precond import edm
      >>> d = denoiser(lambda params, x, c_noise: params * x, 0.0, edm(sigma_data=1.0))
      >>> d(jnp.ones((1, 2)), jnp.array(1.0)).tolist()
      [[0.5, 0.5]]
    """

    def denoise(x: Batch, sigma: Array) -> Batch:
        x = x.astype(state_type(x))
        sigma = jnp.asarray(check_positive(sigma), x.dtype)
        c_skip, c_out, c_in = (expand(c(sigma), x) for c in (precond.c_skip, precond.c_out, precond.c_in))
        c_noise = jnp.broadcast_to(precond.c_noise(sigma), x.shape[:1])
        network = check_outputs(lambda x: apply_fn(params, x, c_noise, **cond), "the network")
        return c_skip * x + c_out * network(c_in * x).astype(x.dtype)

    return denoise


def denoiser_with_variance(
    apply_fn: Callable[..., Any], params: Params, precond: Preconditioning, **cond: Any
) -> Callable[[Batch, Array], tuple[Batch, Batch]]:
    """Make (x, sigma) -> (D(x, sigma), values) of a network whose output has twice the channels of its input.

    Args: as `denoiser`.
    Returns: the posterior mean of the first half, and the second half as it is, from which `reverse_kernel.learned`
      and `learned_range` make the variance.
    Raises: ValueError when the network does not have twice the channels.
    Reference: Nichol & Dhariwal 2021, section 3.1.
    Example:
      >>> from jaxdiff.precond import edm
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
