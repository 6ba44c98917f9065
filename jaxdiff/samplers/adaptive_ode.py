"""The probability-flow ODE solved adaptively, as a sampler: diffrax chooses the steps of every example."""

import jax
import jax.numpy as jnp

from jaxdiff import process
from jaxdiff.probability_flow import Tolerance, drift, integrate
from jaxdiff.process.sde import SDE
from jaxdiff.samplers.base import Carry, Level, Sampler, memoryless, noiseless
from jaxdiff.types import Array, Batch, Denoiser, Noise, expand


def adaptive(sde: SDE, tolerance: Tolerance = Tolerance()) -> Sampler:
    """Solve the probability flow between two levels of a grid adaptively; into sigma = 0 return the denoised image.

    Args:
      sde: along whose time the steps are chosen; any SDE will do for any denoiser, `sde.ve` in the library's own
        coordinates.
    Returns: a deterministic Sampler, usually for the grid [sigma(1), sigma(epsilon), 0], which is `sde.grid(sde, 2)`.
      An example that met the limit of steps becomes NaN, as under jit nothing can be raised.
    Example: along the flow of N(0, I) x / sqrt(1 + sigma^2) stays
      >>> from jaxdiff.samplers import sample
      >>> vp = process.sde.vp()
      >>> grid = process.sde.grid(vp, 2)
      >>> x = jnp.full((1, 2), (1 + grid[0] ** 2) ** 0.5)
      >>> x0 = sample(adaptive(vp), lambda x, sigma: x / (1 + expand(sigma, x) ** 2), x, grid)
      >>> bool(jnp.allclose(x0, 1, atol=1e-3))
      True
    """

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        def score(x: Batch, t: Array) -> Batch:
            return process.reverse_sde.score(sde, denoise, x, t)

        def solve(x: Batch) -> Batch:
            t0, t1 = sde.time(level.sigma), sde.time(level.sigma_next)
            found, _, solved = integrate(lambda t, x: drift(sde, score, x, t), sde.a(t0) * x, t0, t1, tolerance)
            return jnp.where(expand(solved, x), found / sde.a(t1), jnp.nan)

        return jax.lax.cond(level.sigma_next == 0, lambda x: denoise(x, level.sigma), solve, x), carry

    return Sampler(memoryless, noiseless, step)
