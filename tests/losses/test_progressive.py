"""Progressive distillation of the denoiser of Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses import consistency, distances, progressive
from jaxdiff.timesteps import pairs
from jaxdiff.types import expand
from tests.support.gaussian_consistency import SPAN, denoise, draw


def test_progressive_target_lands_where_two_steps_do(x64):
    x0, noise = draw(jax.random.key(5), 64)
    levels = pairs.progressive_levels(jnp.arange(64) % 8, 8, **SPAN)
    x = x0 + expand(levels[0], x0) * noise
    target = progressive.two_step_target(denoise, x, *levels)
    landed = consistency.euler_solver(lambda x, sigma: target, x, levels[0], levels[2])
    middle = consistency.euler_solver(denoise, x, levels[0], levels[1])
    np.testing.assert_allclose(landed, consistency.euler_solver(denoise, middle, *levels[1:]), rtol=1e-11)
    student = lambda x, sigma: target  # noqa: E731
    assert np.all(progressive.progressive_loss(student, denoise, x0, levels, noise, distance=distances.l2) == 0)
