"""Whole loops of a recorded process, driven by `trajectory`: what every step leaves, in the recorded coordinates."""

import jax
import jax.numpy as jnp

from jaxdiff import predictions
from jaxdiff.samplers import encode, trajectory
from tests.parity.ddpm_process import from_x, to_x


def sampled(process, sampler, model, plain, start, noise):
    """(x, x0 estimated) after every step, from the last level down.

    Args:
      model: what the sampler asks; plain: the denoiser whose estimates are recorded; start: x_T; noise: [T, B, ...].
    """
    grid = process.sigmas[::-1]
    _, xs = jax.jit(lambda x, noise: trajectory(sampler, model, x, grid, noise=noise))(to_x(start, grid[0]), noise)
    samples = [from_x(x, sigma) for x, sigma in zip(xs[1:], grid[1:], strict=True)]
    return samples, [plain(x, jnp.asarray(sigma)) for x, sigma in zip(xs[:-1], grid[:-1], strict=True)]


def encoded(process, denoise, start):
    """The same up the chain; the last step goes to alpha_bar = 0, where only the noise direction is left."""
    rising, asked = process.sigmas[1:], []

    def recorded(x, sigma):
        x0_hat = denoise(x, sigma)
        jax.debug.callback(lambda *call: asked.append(call), x, x0_hat, ordered=True)
        return x0_hat

    end = jax.jit(lambda x: encode(recorded, x, rising[::-1]))(to_x(start, rising[0]))
    last = denoise(jax.block_until_ready(end), jnp.asarray(rising[-1]))
    jax.effects_barrier()
    ends, estimates = ([jnp.asarray(a) for a in found] for found in zip(*asked, (end, last), strict=True))
    samples = [from_x(x, sigma) for x, sigma in zip(ends[1:], rising[1:], strict=True)]
    return [*samples, predictions.from_x0(predictions.eps, last, end, rising[-1])], estimates
