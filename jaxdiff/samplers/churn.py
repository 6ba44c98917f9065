"""EDM's stochastic churn: noise is added before a step of any sampler, which then removes it as well."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.samplers.base import Carry, Level, Sampler, gaussian
from jaxdiff.types import Array, Batch, Denoiser, Key, Noise


def churn(
    sampler: Sampler,
    s_churn: float,
    s_min: float = 0.0,
    s_max: float = float("inf"),
    s_noise: float = 1.0,
    round_sigma: Callable[[Array], Array] = lambda sigma: sigma,
) -> Sampler:
    """Raise the noise from sigma to sigma_hat = (1 + gamma) * sigma, then let `sampler` step to sigma_next.

    gamma = min(S_churn / n, sqrt(2) - 1) where S_min <= sigma <= S_max, else 0
    x_hat = x + sqrt(sigma_hat^2 - sigma^2) * S_noise * z,  z ~ N(0, I)

    `churn(heun(), 40, 0.05, 50, 1.003)` is the paper's Alg. 2 with its ImageNet-64 settings.

    Args:
      sampler: the sampler to wrap, usually `heun()`.
      s_churn: total churn over the n steps, >= 0.
      s_min, s_max: range of sigma in which noise is added, 0 <= s_min <= s_max.
      s_noise: factor on the standard deviation of the added noise, > 0.
      round_sigma: rounds sigma_hat to a level of the network's training (`Preconditioning.round_sigma`).
    Returns: a stochastic Sampler with the evaluations of `sampler`.
    Raises: ValueError when an argument is outside these ranges.
    Reference: Karras et al. 2022, Alg. 2, lines 4 to 6.
    Example: what is added is removed, where there is a single data point, 3
      >>> from jaxdiff import grids
      >>> from jaxdiff.samplers import heun, sample
      >>> sampler, x = churn(heun(), s_churn=10), jnp.full((1, 1), 80.0)
      >>> sample(sampler, lambda x, sigma: 0 * x + 3.0, x, grids.karras(8), key=jax.random.key(1)).item()
      3.0
    """
    if not s_churn >= 0:
        raise ValueError(f"s_churn must be at least 0, got {s_churn}")
    if not 0 <= s_min <= s_max:
        raise ValueError(f"churn needs 0 <= s_min <= s_max, got s_min={s_min}, s_max={s_max}")
    if not s_noise > 0:
        raise ValueError(f"s_noise must be positive, got {s_noise}")

    def draw(key: Key, x: Batch) -> Noise:
        key_churn, key_step = jax.random.split(key)
        return gaussian(key_churn, x), sampler.draw(key_step, x)

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        z, inner = noise
        sigma = level.sigma
        gamma = min(s_churn / level.num_steps, 2**0.5 - 1)
        inside = (s_min <= sigma) & (sigma <= s_max)
        sigma_hat = round_sigma(jnp.where(inside, (1 + gamma) * sigma, sigma))
        # As a product it is exactly 0 where sigma_hat = sigma; rounding may lower the level, and adds nothing then.
        added = s_noise * jnp.sqrt(jnp.maximum((sigma_hat - sigma) * (sigma_hat + sigma), 0))
        return sampler.step(denoise, x + added * z, carry, level._replace(sigma=sigma_hat), inner)

    return sampler._replace(draw=draw, step=step)
