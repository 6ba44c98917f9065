"""The evidence lower bound of a hierarchical VAE whose encoder is a fixed chain of scalings and Gaussian noise.

    q(z_l | x) = N(alpha_l x, v_l I),  l = 0 .. L-1, Markov:
    z_l = a z_{l-1} + sqrt(b) n,  a = alpha_l / alpha_{l-1},  b = v_l - a^2 v_{l-1}

    -log p(x) <= -ELBO = E[-log p(x | z_0)]                                             reconstruction
                         + sum_{l=1}^{L-1} E KL(q(z_{l-1} | z_l, x) || p(z_{l-1} | z_l))  denoising matching
                         + KL(q(z_{L-1} | x) || p(z_{L-1}))                             prior matching

Nothing here knows of diffusion: a diffusion chain is the instance `diffusion(...)` with alpha_l = sqrt(alpha_bar_l) and
v_l = 1 - alpha_bar_l, whose reverse steps all are one network.
Reference: Sohl-Dickstein et al. 2015; Ho et al. 2020, Eq. 5; Kingma et al. 2021.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import betas as chains
from jaxdiff.betas import Betas
from jaxdiff.losses.likelihood import normal_kl, per_example
from jaxdiff.reverse import Reverse
from jaxdiff.types import Array, ArrayLike, Batch, Float, Key, expand


class HVAE(NamedTuple):
    """A hierarchical Gaussian VAE with a fixed linear encoder.

    alpha, variance: [L], of q(z_l | x).
    reverse(z, l) -> (mean, log_variance) of p(z_{l-1} | z_l) for l >= 1, the decoder's for l = 0; l is [B].
    log_likelihood(x, mean, log_variance) -> log p(x | z_0) per number, [B, ...], given reverse(z_0, 0).
    prior_variance: of p(z_{L-1}) = N(0, prior_variance I).
    """

    alpha: Float[Array, " L"]
    variance: Float[Array, " L"]
    reverse: Callable[[Batch, Array], tuple[Batch, Array]]
    log_likelihood: Callable[[Batch, Batch, Array], Batch]
    prior_variance: float = 1.0


class Bound(NamedTuple):
    """The terms of -ELBO in nats per example: levels[0] is the reconstruction, levels[l] the matching at level l."""

    levels: Float[Array, "L B"]
    prior: Float[Array, " B"]

    @property
    def reconstruction(self) -> Array:
        """E[-log p(x | z_0)], [B]."""
        return self.levels[0]

    @property
    def matching(self) -> Array:
        """Sum of the KL terms over l >= 1, [B]."""
        return jnp.sum(self.levels[1:], axis=0)

    @property
    def total(self) -> Array:
        """-ELBO >= -log p(x) in expectation, [B]."""
        return jnp.sum(self.levels, axis=0) + self.prior


def diffuse(hvae: HVAE, x: Batch, level: ArrayLike, noise: Batch) -> Batch:
    """z_l = alpha_l x + sqrt(v_l) n, a draw from q(z_l | x); level is [] or [B].

    Raises: ValueError when a level on the host is not in 0 .. L-1.
    """
    check_levels(hvae, level)
    return expand(hvae.alpha[level], x) * x + expand(jnp.sqrt(hvae.variance[level]), x) * noise


def posterior(hvae: HVAE, x: Batch, z: Batch, level: Array) -> tuple[Batch, Array]:
    """Mean and log-variance of q(z_{l-1} | z_l, x), level [] or [B], >= 1.

    mean = alpha_{l-1} b / v_l x + a v_{l-1} / v_l z,  variance = v_{l-1} b / v_l
    """
    a = hvae.alpha[level] / hvae.alpha[level - 1]
    below, here = hvae.variance[level - 1], hvae.variance[level]
    b = here - a**2 * below
    mean = expand(hvae.alpha[level - 1] * b / here, x) * x + expand(a * below / here, x) * z
    return mean, expand(jnp.log(below * b / here), x)


def level_term(hvae: HVAE, x: Batch, level: Array, z: Batch) -> Float[Array, " B"]:
    """One term of the bound in nats: KL at levels >= 1, -log p(x | z_0) at level 0.

    Args:
      x: data [B, ...]; level: [B] integers; z: a draw of z_l, from `diffuse`.
    Raises: ValueError when a level on the host is not in 0 .. L-1.
    """
    check_levels(hvae, level)
    mean, log_variance = hvae.reverse(z, level)
    kl = normal_kl(*posterior(hvae, x, z, jnp.maximum(level, 1)), mean, log_variance)
    nll = -hvae.log_likelihood(x, mean, log_variance)
    return jnp.where(level > 0, per_example(kl), per_example(nll))


def check_levels(hvae: HVAE, level: ArrayLike) -> None:
    """Raise ValueError when a level is not in 0 .. L-1; a traced one is not looked at."""
    last = hvae.alpha.shape[0] - 1
    if not isinstance(level, jax.core.Tracer) and not np.all((np.asarray(level) >= 0) & (np.asarray(level) <= last)):
        raise ValueError(f"levels must be 0 to {last}, got {np.asarray(level).tolist()}")


def prior_term(hvae: HVAE, x: Batch) -> Float[Array, " B"]:
    """KL(q(z_{L-1} | x) || p(z_{L-1})) in nats."""
    log_variance = expand(jnp.log(hvae.variance[-1]), x)
    prior = jnp.full_like(log_variance, np.log(hvae.prior_variance))
    return per_example(normal_kl(hvae.alpha[-1] * x, log_variance, jnp.zeros_like(x), prior))


def elbo(hvae: HVAE, x: Batch, *, key: Key | None = None, noise: Array | None = None) -> Bound:
    """All terms of the bound, each from one draw of z_l, in one `lax.scan` over the levels.

    Args:
      x: data [B, ...].
      key: to draw from; or noise: stored draws [L, B, ...], noise[l] for level l.
    Returns: a Bound; its expectation is -ELBO, as the levels are drawn apart.
    Raises: ValueError unless exactly one of key and noise is given, and noise fits.
    Example: data ~ N(0, 1), one level z ~ N(x, 1), exact decoder: the bound is the evidence
      >>> from jaxdiff.losses.likelihood import normal_log_prob
      >>> decode = lambda z, level: (z / 2, jnp.full_like(z, np.log(0.5)))
      >>> hvae = HVAE(jnp.ones(1), jnp.ones(1), decode, normal_log_prob, prior_variance=2.0)
      >>> x = jnp.zeros((1, 1))
      >>> bound = elbo(hvae, x, noise=jnp.ones((1, 1, 1)))
      >>> bound.levels.shape, bound.prior.shape
      ((1, 1), (1,))
    """
    num_levels = hvae.alpha.shape[0]
    if (key is None) == (noise is None):
        raise ValueError(f"elbo needs either key= or noise=, got {'neither' if key is None else 'both'}")
    if noise is not None and noise.shape != (num_levels, *x.shape):
        raise ValueError(f"noise must be {[num_levels, *x.shape]}, one draw a level, got {list(noise.shape)}")

    def body(carry: tuple[()], inputs: tuple[Array, Any]) -> tuple[tuple[()], Array]:
        level, drawn = inputs
        if key is not None:
            drawn = jax.random.normal(jax.random.fold_in(key, level), x.shape, x.dtype)
        levels = jnp.broadcast_to(level, x.shape[:1])
        return carry, level_term(hvae, x, levels, diffuse(hvae, x, levels, drawn))

    _, levels = jax.lax.scan(body, (), (jnp.arange(num_levels), () if noise is None else noise))
    return Bound(levels, prior_term(hvae, x))


def diffusion(
    betas: Betas, reverse: Reverse, model: Any, log_likelihood: Callable[[Batch, Batch, Array], Batch]
) -> HVAE:
    """A DDPM as a hierarchical VAE: z_l = x_t, every reverse step the same network.

    Args:
      betas: of the chain [T].
      reverse: p(x' | x) from `jaxdiff.reverse`, with a floor for the step to data, whose variance is the decoder's.
      model: what reverse asks: a Denoiser, or a `LearnedDenoiser`.
      log_likelihood: (x0, mean, log_variance) -> nats per number, such as
        `lambda x0, mean, log_variance: discretized_gaussian(x0, mean, log_variance / 2, bins=256)`.
    Reference: Ho et al. 2020, Eq. 5 and 13.
    """
    tables, levels = chains.tables(betas), chains.sigmas(betas)[::-1]

    def native(z: Batch, level: Array) -> tuple[Batch, Array]:
        # The reverse step speaks x = x_t / sqrt(alpha_bar_t); levels[0] is 0, levels[t + 1] is sigma_t.
        sigma, sigma_next = jnp.asarray(levels, z.dtype)[level + 1], jnp.asarray(levels, z.dtype)[level]
        mean, log_variance = reverse(model, expand(jnp.sqrt(1 + sigma**2), z) * z, sigma, sigma_next)
        scale = 1 + sigma_next**2
        return mean / expand(jnp.sqrt(scale), z), log_variance - expand(jnp.log(scale), z)

    return HVAE(jnp.asarray(np.sqrt(tables.alpha_bar)), jnp.asarray(1 - tables.alpha_bar), native, log_likelihood)
