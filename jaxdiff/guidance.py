"""Denoisers made from denoisers."""

import jax.numpy as jnp

from jaxdiff.types import Array, Batch, Denoiser


def guide(cond: Denoiser, uncond: Denoiser, w: float) -> Denoiser:
    """Classifier-free guidance, D = D_uncond + w * (D_cond - D_uncond).

    Args:
      cond, uncond: denoisers with and without the condition.
      w: guidance weight; 1 is `cond` itself, 0 is `uncond`. Ho & Salimans' weight is w - 1.
    Returns: a denoiser that evaluates both.
    Reference: Ho & Salimans 2022 (arXiv 2207.12598), Eq. 6, in x0 rather than in eps, which is the same line.
    Example:
      >>> d = guide(lambda x, sigma: 0 * x + 1, lambda x, sigma: 0 * x, w=2.0)
      >>> d(jnp.zeros((1, 2)), 1.0).tolist()
      [[2.0, 2.0]]
    """

    def denoise(x: Batch, sigma: Array) -> Batch:
        x0_uncond = uncond(x, sigma)
        return x0_uncond + w * (cond(x, sigma) - x0_uncond)

    return denoise


def clip(denoise: Denoiser, low: float = -1.0, high: float = 1.0) -> Denoiser:
    """Keep the denoised image inside the range of the data, as DDPM's samplers do.

    Args:
      low, high: range of the data, low < high.
    Raises: ValueError when the range is empty.
    Reference: Ho et al. 2020, in its released sampler; there eps is recomputed from the clipped x0, as it is here.
    Example:
      >>> clip(lambda x, sigma: 3 * x)(jnp.ones((1, 1)), 1.0).item()
      1.0
    """
    if not low < high:
        raise ValueError(f"clip needs low < high, got low={low}, high={high}")
    return lambda x, sigma: jnp.clip(denoise(x, sigma), low, high)
