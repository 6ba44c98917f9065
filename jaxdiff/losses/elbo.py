"""The evidence lower bound of a hierarchical VAE whose encoder is a fixed chain of scalings and Gaussian noise.

    q(z_l | x) = N(alpha_l x, v_l I),  l = 0 .. L-1, Markov:
    z_l = a z_{l-1} + sqrt(b) n,  a = alpha_l / alpha_{l-1},  b = v_l - a^2 v_{l-1}

    -log p(x) <= -ELBO = E[-log p(x | z_0)]                                             reconstruction
                         + sum_{l=1}^{L-1} E KL(q(z_{l-1} | z_l, x) || p(z_{l-1} | z_l))  denoising matching
                         + KL(q(z_{L-1} | x) || p(z_{L-1}))                             prior matching

A diffusion chain is the instance `ddpm_hvae(...)`: alpha_l = sqrt(alpha_bar_l), v_l = 1 - alpha_bar_l, and one network
for all reverse steps.
Reference: Sohl-Dickstein et al. 2015; Ho et al. 2020, Eq. 5; Kingma et al. 2021.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import process
from jaxdiff.losses.gaussian import normal_kl
from jaxdiff.losses.per_example import sum_pixels
from jaxdiff.process.betas import Betas
from jaxdiff.process.reverse_kernel import ReverseKernel
from jaxdiff.types import Array, ArrayLike, Batch, Float, Key, expand


class HVAE(NamedTuple):
    """A hierarchical Gaussian VAE with a fixed linear encoder.

    alpha, variance: [L], of q(z_l | x).
    reverse_kernel(z, l) -> (mean, log_variance) of p(z_{l-1} | z_l) for l >= 1, the decoder's for l = 0; l is [B].
    log_likelihood(x, mean, log_variance) -> log p(x | z_0) per number, [B, ...], given reverse_kernel(z_0, 0).
    prior_variance: of p(z_{L-1}) = N(0, prior_variance I).
    """

    alpha: Float[Array, " L"]
    variance: Float[Array, " L"]
    reverse_kernel: Callable[[Batch, Array], tuple[Batch, Array]]
    log_likelihood: Callable[[Batch, Batch, Array], Batch]
    prior_variance: float = 1.0


class HVAETerms(NamedTuple):
    """The terms of -ELBO in nats per example: layers[0] is the reconstruction, layers[l] the matching of layer l."""

    layers: Float[Array, "L B"]
    prior: Float[Array, " B"]

    @property
    def reconstruction(self) -> Array:
        """E[-log p(x | z_0)], [B]."""
        return self.layers[0]

    @property
    def matching(self) -> Array:
        """Sum of the KL terms over l >= 1, [B]."""
        return jnp.sum(self.layers[1:], axis=0)

    @property
    def total(self) -> Array:
        """-ELBO >= -log p(x) in expectation, [B]."""
        return jnp.sum(self.layers, axis=0) + self.prior


def sample_latent(hvae: HVAE, x: Batch, layer: ArrayLike, noise: Batch) -> Batch:
    """Sample q(z_l | x): z_l = alpha_l x + sqrt(v_l) n.

    Args:
      hvae: the model; x: data [B, ...]; layer: l in 0 .. L-1, [] or [B]; noise: n ~ N(0, I), [B, ...].
    Returns: z_l, [B, ...].
    Raises: ValueError when a layer on the host is not in 0 .. L-1.
    Reference: Ho et al. 2020, Eq. 4, for a diffusion chain.
    Example:
      >>> hvae = HVAE(jnp.array([0.6]), jnp.array([0.64]), lambda z, layer: (z, z), lambda x, mean, log_variance: x)
      >>> round(sample_latent(hvae, jnp.ones((1, 1)), 0, jnp.ones((1, 1))).item(), 6)  # 0.6 + 0.8
      1.4
    """
    check_layers(hvae, layer)
    return expand(hvae.alpha[layer], x) * x + expand(jnp.sqrt(hvae.variance[layer]), x) * noise


def latent_posterior(hvae: HVAE, x: Batch, z: Batch, layer: Array) -> tuple[Batch, Array]:
    """Compute mean and log-variance of q(z_{l-1} | z_l, x).

    mean = alpha_{l-1} b / v_l x + a v_{l-1} / v_l z,  variance = v_{l-1} b / v_l

    Args:
      hvae: the model; x: data [B, ...]; z: z_l, [B, ...]; layer: l >= 1, [] or [B].
    Returns: (mean [B, ...], log-variance that broadcasts against it).
    Reference: Ho et al. 2020, Eq. 6 and 7, for a diffusion chain.
    Example: where z_l adds as much noise as z_{l-1} has, the mean is half way
      >>> hvae = HVAE(jnp.ones(2), jnp.array([1.0, 2.0]), lambda z, layer: (z, z), lambda x, mean, log_variance: x)
      >>> mean, log_variance = latent_posterior(hvae, jnp.zeros((1, 1)), jnp.ones((1, 1)), jnp.array([1]))
      >>> mean.item(), round(jnp.exp(log_variance).item(), 6)
      (0.5, 0.5)
    """
    a = hvae.alpha[layer] / hvae.alpha[layer - 1]
    below = hvae.variance[layer - 1]
    q = process.posterior.gaussian(hvae.alpha[layer - 1], below, a, hvae.variance[layer] - a**2 * below)
    return expand(q.of_x0, x) * x + expand(q.of_x, x) * z, expand(jnp.log(q.variance), x)


def layer_term(hvae: HVAE, x: Batch, layer: Array, z: Batch) -> Float[Array, " B"]:
    """Compute one term of -ELBO in nats: the KL of layers l >= 1, -log p(x | z_0) of layer 0.

    Args:
      hvae: the model; x: data [B, ...]; layer: [B] integers; z: a draw of z_l, from `sample_latent`.
    Returns: [B].
    Raises: ValueError when a layer on the host is not in 0 .. L-1.
    Reference: Ho et al. 2020, Eq. 5; Nichol & Dhariwal 2021, Eq. 5 and 6.
    Example: a reverse step that is the posterior of x = 0 costs nothing
      >>> exact = lambda z, layer: (z / 2, jnp.full_like(z, np.log(0.5)))
      >>> hvae = HVAE(jnp.ones(2), jnp.array([1.0, 2.0]), exact, lambda x, mean, log_variance: x)
      >>> layer_term(hvae, jnp.zeros((1, 1)), jnp.array([1]), jnp.ones((1, 1))).tolist()
      [0.0]
    """
    check_layers(hvae, layer)
    mean, log_variance = hvae.reverse_kernel(z, layer)
    kl = normal_kl(*latent_posterior(hvae, x, z, jnp.maximum(layer, 1)), mean, log_variance)
    nll = -hvae.log_likelihood(x, mean, log_variance)
    return jnp.where(layer > 0, sum_pixels(kl), sum_pixels(nll))


def check_layers(hvae: HVAE, layer: ArrayLike) -> None:
    """Refuse layers that are not in 0 .. L-1; traced ones are not looked at.

    Args:
      hvae: the model; layer: integers of any shape.
    Raises: ValueError when one is out of range.
    Example:
      >>> check_layers(HVAE(jnp.ones(4), jnp.ones(4), lambda z, layer: (z, z), lambda x, *_: x), 4)
      Traceback (most recent call last):
      ValueError: layers must be 0 to 3, got 4
    """
    last = hvae.alpha.shape[0] - 1
    if not isinstance(layer, jax.core.Tracer) and not np.all((np.asarray(layer) >= 0) & (np.asarray(layer) <= last)):
        raise ValueError(f"layers must be 0 to {last}, got {np.asarray(layer).tolist()}")


def prior_term(hvae: HVAE, x: Batch) -> Float[Array, " B"]:
    """Compute KL(q(z_{L-1} | x) || p(z_{L-1})) in nats.

    Args:
      hvae: the model; x: data [B, ...].
    Returns: [B].
    Reference: Nichol & Dhariwal 2021, Eq. 7.
    Example: z ~ N(x, 1) under the prior N(0, 1) costs x^2 / 2
      >>> hvae = HVAE(jnp.ones(1), jnp.ones(1), lambda z, layer: (z, z), lambda x, mean, log_variance: x)
      >>> prior_term(hvae, jnp.full((1, 1), 3.0)).tolist()
      [4.5]
    """
    log_variance = expand(jnp.log(hvae.variance[-1]), x)
    prior = jnp.full_like(log_variance, np.log(hvae.prior_variance))
    return sum_pixels(normal_kl(hvae.alpha[-1] * x, log_variance, jnp.zeros_like(x), prior))


def hvae_elbo(hvae: HVAE, x: Batch, *, key: Key | None = None, noise: Array | None = None) -> HVAETerms:
    """Estimate all terms of -ELBO, each from one draw of z_l, in one `lax.scan` over the layers.

    Args:
      hvae: the model; x: data [B, ...].
      key: to draw from; or noise: stored draws [L, B, ...], noise[l] for layer l.
    Returns: HVAETerms; the expectation of its total is -ELBO, as every layer has draws of its own.
    Raises: ValueError unless exactly one of key and noise is given, and noise fits.
    Reference: Ho et al. 2020, Eq. 5; Sohl-Dickstein et al. 2015.
    Example: x = 0 of data ~ N(0, 1), one layer z ~ N(x, 1), exact decoder: in expectation the evidence, log(2 pi) / 2
      >>> from jaxdiff.losses.gaussian import normal_log_prob
      >>> decode = lambda z, layer: (z / 2, jnp.full_like(z, np.log(0.5)))
      >>> hvae = HVAE(jnp.ones(1), jnp.ones(1), decode, normal_log_prob, prior_variance=2.0)
      >>> terms = hvae_elbo(hvae, jnp.zeros((1, 1)), noise=jnp.ones((1, 1, 1)))
      >>> round(float(terms.total[0] - jnp.log(2 * jnp.pi) / 2), 6)
      0.0
    """
    num_layers = hvae.alpha.shape[0]
    if (key is None) == (noise is None):
        raise ValueError(f"hvae_elbo needs either key= or noise=, got {'neither' if key is None else 'both'}")
    if noise is not None and noise.shape != (num_layers, *x.shape):
        raise ValueError(f"noise must be {[num_layers, *x.shape]}, one draw a layer, got {list(noise.shape)}")

    def body(carry: tuple[()], inputs: tuple[Array, Any]) -> tuple[tuple[()], Array]:
        layer, eps = inputs
        if key is not None:
            eps = jax.random.normal(jax.random.fold_in(key, layer), x.shape, x.dtype)
        layers = jnp.broadcast_to(layer, x.shape[:1])
        return carry, layer_term(hvae, x, layers, sample_latent(hvae, x, layers, eps))

    _, layers = jax.lax.scan(body, (), (jnp.arange(num_layers), () if noise is None else noise))
    return HVAETerms(layers, prior_term(hvae, x))


def ddpm_hvae(
    betas: Betas, kernel: ReverseKernel, model: Any, log_likelihood: Callable[[Batch, Batch, Array], Batch]
) -> HVAE:
    """Construct a DDPM as a hierarchical VAE: z_l = x_t, and every reverse step is the same network.

    Args:
      betas: of the chain [T].
      kernel: p(x' | x) from `process.reverse_kernel`, with a floor for the step to data: the decoder's variance.
      model: what the kernel asks: a Denoiser, or a `LearnedDenoiser`.
      log_likelihood: (x0, mean, log_variance) -> nats per number, such as
        `lambda x0, mean, log_variance: discretized_gaussian(x0, mean, log_variance / 2, bins=256)`.
    Returns: an HVAE of T layers.
    Reference: Ho et al. 2020, Eq. 5 and 13.
    Example: alpha^2 + variance = 1, the chain preserves variance
      >>> from jaxdiff.losses.gaussian import normal_log_prob
      >>> kernel = process.reverse_kernel.fixed(floor=1e-4)
      >>> hvae = ddpm_hvae(process.betas.cosine(8), kernel, lambda x, sigma: 0 * x, normal_log_prob)
      >>> bool(jnp.allclose(hvae.alpha**2 + hvae.variance, 1))
      True
    """
    tables, levels = process.betas.tables(betas), process.betas.sigmas(betas)[::-1]

    def native(z: Batch, layer: Array) -> tuple[Batch, Array]:
        # The reverse step speaks x = x_t / sqrt(alpha_bar_t); levels[0] is 0, levels[t + 1] is sigma_t.
        sigma, sigma_next = jnp.asarray(levels, z.dtype)[layer + 1], jnp.asarray(levels, z.dtype)[layer]
        mean, log_variance = kernel(model, expand(jnp.sqrt(1 + sigma**2), z) * z, sigma, sigma_next)
        scale = 1 + sigma_next**2
        return mean / expand(jnp.sqrt(scale), z), log_variance - expand(jnp.log(scale), z)

    return HVAE(jnp.asarray(np.sqrt(tables.alpha_bar)), jnp.asarray(1 - tables.alpha_bar), native, log_likelihood)
