"""Denoisers made from denoisers: guidance, clipping, gradients of classifiers.

To add one, write a function that takes a Denoiser and returns one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, ArrayLike, Batch, Denoiser, Float, check_outputs, expand


def guide(cond: Denoiser, uncond: Denoiser, w: ArrayLike) -> Denoiser:
    """Guide without a classifier, D = D_uncond + w * (D_cond - D_uncond).

    Args:
      cond, uncond: denoisers with and without the condition.
      w: guidance weight, one for all or one an example, [B]; 1 is `cond` itself, 0 is `uncond`. Ho & Salimans' weight
        is w - 1.
    Returns: a denoiser that evaluates both; it raises ValueError when w is of another batch, or one of the two returns
      anything but floats of the shape of x.
    Reference: Ho & Salimans 2022 (arXiv 2207.12598), Eq. 6, in x0 rather than in eps, which is the same line.
    Example:
      >>> d = guide(lambda x, sigma: 0 * x + 1, lambda x, sigma: 0 * x, w=2.0)
      >>> d(jnp.zeros((1, 2)), 1.0).tolist()
      [[2.0, 2.0]]
    """

    def denoise(x: Batch, sigma: Array) -> Batch:
        x0_uncond = check_outputs(uncond, "uncond")(x, sigma)
        return x0_uncond + expand(w, x0_uncond, "w") * (check_outputs(cond, "cond")(x, sigma) - x0_uncond)

    return denoise


def clip(denoise: Denoiser, low: float = -1.0, high: float = 1.0) -> Denoiser:
    """Keep the denoised image inside the range of the data, as DDPM's samplers do.

    Args:
      low, high: range of the data, low < high.
    Raises: ValueError when the range is empty, or the denoiser returns anything but floats of the shape of x.
    Reference: Ho et al. 2020, in its released sampler; there eps is recomputed from the clipped x0, as it is here.
    Example:
      >>> clip(lambda x, sigma: 3 * x)(jnp.ones((1, 1)), 1.0).item()
      1.0
    """
    if not low < high:
        raise ValueError(f"clip needs low < high, got low={low}, high={high}")
    return lambda x, sigma: jnp.clip(check_outputs(denoise)(x, sigma), low, high)


def log_prob_gradient(log_prob: Callable[[Batch, Array], Float[Array, " B"]]) -> Denoiser:
    """Differentiate a classifier of noisy images: (x, sigma) -> grad_x log p(y | x; sigma), example by example.

    Args:
      log_prob: (x, sigma) -> log p(y | x) of the wanted class, one number per example [B].
    Raises: ValueError when log_prob gives anything but [B].
    Reference: Dhariwal & Nichol 2021, section 4. A classifier of x_t = x / sqrt(1 + sigma^2) does that division itself.
    Example:
      >>> gradient = log_prob_gradient(lambda x, sigma: -0.5 * jnp.sum(x**2, axis=1))
      >>> gradient(jnp.array([[1.0, 2.0]]), 1.0).tolist()
      [[-1.0, -2.0]]
    """

    def total(x: Batch, sigma: Array) -> Array:
        values = log_prob(x, sigma)
        if values.shape != x.shape[:1]:
            raise ValueError(f"log_prob must give one number per example, [{x.shape[0]}], got {list(values.shape)}")
        return values.sum()

    return jax.grad(total)


def classifier_guide(denoise: Denoiser, gradient: Denoiser, w: ArrayLike = 1.0) -> Denoiser:
    """Guide by a classifier, D + w * sigma^2 * grad_x log p(y | x; sigma), for any deterministic sampler.

    Args:
      denoise: D(x, sigma); clip it first, as what comes out is not clipped again.
      gradient: from `log_prob_gradient`, in the library's coordinates x = x0 + sigma * n.
      w: guidance scale, one for all or one an example, [B].
    Raises: ValueError when denoiser or gradient return anything but floats of the shape of x, or w is of another batch.
    Reference: Dhariwal & Nichol 2021, Alg. 2, in x0 rather than in eps. For the ancestral step their Alg. 1 shifts
      the mean instead: `reverse_kernel.guided`.
    Example:
      >>> d = classifier_guide(lambda x, sigma: 0 * x, lambda x, sigma: 0 * x + 1.0)
      >>> d(jnp.zeros((1, 1)), 2.0).item()
      4.0
    """

    def guided(x: Batch, sigma: Array) -> Batch:
        shift = expand(w, x, "w") * expand(sigma, x) ** 2 * check_outputs(gradient, "gradient")(x, sigma)
        return check_outputs(denoise)(x, sigma) + shift

    return guided


def on_x0(
    transform: Callable[[Denoiser], Denoiser], model: Callable[[Batch, Array], tuple[Batch, Batch]]
) -> Callable[[Batch, Array], tuple[Batch, Batch]]:
    """Apply `clip`, or another map of denoisers, to the x0 of a model that returns (x0_hat, values).

    Args:
      transform: Denoiser to Denoiser; model: as `precond.denoiser_with_variance` makes it.
    Returns: the model with the transformed x0 and the same values.
    Example:
      >>> model = on_x0(clip, lambda x, sigma: (3 * x, x))
      >>> [part.item() for part in model(jnp.ones((1, 1)), 1.0)]
      [1.0, 1.0]
    """

    def both(x: Batch, sigma: Array) -> tuple[Batch, Batch]:
        x0_hat, values = model(x, sigma)
        return transform(lambda x, sigma: x0_hat)(x, sigma), values

    return both
