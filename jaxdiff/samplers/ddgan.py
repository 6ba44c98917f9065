"""Denoising diffusion GANs: few large steps, each from a draw of x0 instead of its mean."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff.precond import ddpm, denoiser
from jaxdiff.process.betas import Betas
from jaxdiff.samplers.ancestral import ancestral
from jaxdiff.samplers.base import Carry, Level, Sampler, memoryless, noiseless
from jaxdiff.types import Array, Batch, Key, Noise, Params, X0Sampler, expand


def ddgan(latent_dim: int, transition: Sampler | None = None) -> Sampler:
    """Step another sampler with a draw from p(x0 | x) as its denoiser, with a fresh latent every step.

    x0_hat = G(x, sigma, latent), latent ~ N(0, I);  x' ~ q(x' | x, x0_hat), and x' = x0_hat in the step into sigma = 0

    Args:
      latent_dim: numbers in a latent, >= 0; with 0 the generator gets latents [B, 0].
      transition: takes the step once x0 is drawn: `ancestral()` where not given, which draws from q(x' | x, x0);
        `direct()` for a generator that draws x_{t-1} itself.
    Returns: a Sampler whose `sample` is given an X0Sampler as the denoiser; n evaluations for n steps. One step's
      noise is (latent [B, latent_dim], noise of `transition`). A trained chain's grid is `betas.sigmas`.
    Raises: ValueError when latent_dim is negative.
    Reference: Xiao, Kreis & Vahdat 2022 (2112.07804), section 3.2.
    Example: the last step returns the generator's own draw of x0
      >>> from jaxdiff.process import betas
      >>> from jaxdiff.samplers import sample
      >>> generator = lambda x, sigma, latent: jnp.sign(latent)
      >>> x = sample(ddgan(2), generator, jnp.ones((3, 2)), betas.sigmas(betas.vp(4)), key=jax.random.key(1))
      >>> bool(jnp.all(jnp.abs(x) == 1))
      True
    """
    if latent_dim < 0:
        raise ValueError(f"latent_dim must be at least 0, got {latent_dim}")
    inner = ancestral() if transition is None else transition

    def draw(key: Key, x: Array) -> Noise:
        key_latent, key_rest = jax.random.split(key)
        return jax.random.normal(key_latent, (latent_dim,), x.dtype), inner.draw(key_rest, x)

    def step(sample_x0: X0Sampler, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        latent, rest = noise
        return inner.step(lambda x, sigma: sample_x0(x, sigma, latent), x, carry, level, rest)

    return Sampler(inner.init, draw, step)


def direct() -> Sampler:
    """Take the output of the network as x_{t-1} itself, in native coordinates.

    x' = sqrt(1 + sigma'^2) * F(x, sigma)

    Returns: a Sampler for `ddgan(latent_dim, transition=direct())`, an ablation of the paper.
    Reference: Xiao et al. 2022, section 5.2, "direct denoising model".
    Example:
      >>> from jaxdiff.samplers import sample
      >>> x = sample(direct(), lambda x, sigma: 0 * x + 3.0, jnp.ones((1, 1)), jnp.array([2.0, 1.0, 0.0]))
      >>> x.item()
      3.0
    """

    def step(model: Callable[[Batch, Array], Batch], x: Batch, carry: Carry, level: Level, noise: Noise) -> Any:
        return expand(jnp.sqrt(1 + level.sigma_next**2), x) * model(x, level.sigma), carry

    return Sampler(memoryless, noiseless, step)


def x0_sampler(apply_fn: Callable[..., Any], params: Params, betas: Betas) -> X0Sampler:
    """Make G(x, sigma, latent) of a network of x_t and t.

    G(x, sigma, latent) = F(x / sqrt(1 + sigma^2), t, latent),  t the index of the level sigma

    Args:
      apply_fn: `apply_fn(params, x, t, latent) -> [B, ...]`, of a Flax module `apply`; t [B] is 0 .. T-1 at x_1 .. x_T.
      params: its first argument.
      betas: [T], of the chain that it was trained on.
    Returns: an X0Sampler whose output is float32 (float64 where x is); sigma is [] or [B].
    Reference: Xiao et al. 2022, section 3.2; time is the raw index, as in the authors' code.
    Example:
      >>> generator = x0_sampler(lambda params, x, t, latent: x + t[:, None], None, jnp.array([0.75]))
      >>> generator(jnp.full((1, 1), 4.0), jnp.array(3.0**0.5), jnp.zeros((1, 5))).tolist()
      [[2.0]]
    """
    precond = ddpm.x0(betas)

    def sample_x0(x: Batch, sigma: Array, latent: Batch) -> Batch:
        def generator(params: Params, x: Batch, t: Array) -> Batch:
            return apply_fn(params, x, jnp.broadcast_to(t, x.shape[:1]), latent)

        return denoiser(generator, params, precond)(x, sigma)

    return sample_x0
