"""The reverse-time SDE and the probability flow of an SDE: their drifts, and the score that they need.

    dx = (f x - g^2 score) dt + g dw       reverse-time SDE
    dx = (f x - g^2 score / 2) dt          probability flow

Reference: Song et al. 2021 (arXiv 2011.13456), Eq. 6 and 13.
"""

import jax.numpy as jnp

from jaxdiff import predictions
from jaxdiff.process.sde import SDE
from jaxdiff.types import ArrayLike, Batch, Denoiser, check_outputs, expand


def score(sde: SDE, denoise: Denoiser, x: Batch, t: ArrayLike) -> Batch:
    """Compute the score of a denoiser in an SDE's native coordinates, x = x_t.

    grad_x log p_t(x) = (a D(x / a, sigma) - x) / std^2,  sigma = std / a

    Args:
      sde: from `process.sde`; denoise: D(x, sigma) in the library's coordinates.
      x: [B, ...]; t: [] or [B], in (0, 1].
    Returns: [B, ...].
    Example: data ~ N(0, 1) stay N(0, 1) under VP
      >>> from jaxdiff.process import sde
      >>> one = jnp.ones((1, 1))
      >>> round(score(sde.vp(), lambda x, sigma: x / (1 + expand(sigma, x) ** 2), one, jnp.array(0.5)).item(), 4)
      -1.0
    """
    t = jnp.asarray(t, x.dtype)
    a, std = sde.a(t), sde.std(t)
    x, sigma = x / expand(a, x), std / a
    return predictions.from_x0(predictions.score, check_outputs(denoise)(x, sigma), x, sigma) / expand(a, x)


def reverse_drift(sde: SDE, score: Batch, x: Batch, t: ArrayLike, share: float = 1.0) -> Batch:
    """Compute the drift f x - share g^2 score.

    Args:
      sde: from `process.sde`; score: grad_x log p_t(x), [B, ...].
      x: [B, ...] in native coordinates; t: [] or [B], in (0, 1].
      share: 1 for the reverse-time SDE, 1/2 for the probability flow.
    Returns: [B, ...].
    Reference: Song et al. 2021, Eq. 6 and 13.
    Example: data ~ N(0, 1) do not move along VP's probability flow
      >>> from jaxdiff.process import sde
      >>> bool(jnp.allclose(reverse_drift(sde.vp(), -jnp.ones((1, 1)), jnp.ones((1, 1)), 0.5, share=0.5), 0, atol=1e-5))
      True
    """
    t = jnp.asarray(t, x.dtype)
    return expand(sde.f(t), x) * x - share * expand(sde.g(t), x) ** 2 * score
