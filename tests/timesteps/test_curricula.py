"""Schedules over training: ranges, monotony, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import timesteps


def test_progressive_scales_never_fall_and_end_at_the_top():
    scales = timesteps.curricula.progressive_scales(5000, 2, 60)(np.arange(6000))
    assert scales[0] == 2
    assert np.all(np.diff(scales) >= 0)
    assert np.all(scales[5000:] == 61)


def test_target_decay_rises_with_the_scales():
    """mu(N) = mu0 where N - 1 = s0, and 0 is allowed: the target is then the online network."""
    decay = timesteps.curricula.target_decay(jnp.array([2, 3, 20, 151]), 0.9)
    assert np.all(np.diff(decay) > 0)
    assert np.all(decay < 1)
    assert timesteps.curricula.target_decay(5, 0.0) == 0


@pytest.mark.parametrize(("start", "end"), [(10, 1280), (10, 50), (1, 64)])
def test_doubling_reaches_the_end(start, end):
    scales = np.asarray(timesteps.curricula.doubling_scales(1000, start, end)(np.arange(1001)))
    assert (scales[0], scales[-1]) == (start + 1, end + 1)
    assert np.all(np.diff(scales) >= 0)
    assert np.all(scales[1:] - 1 <= 2 * (scales[:-1] - 1))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: timesteps.curricula.progressive_scales(100, 1, 50), "2 <= start < end"),
        (lambda: timesteps.curricula.progressive_scales(100, 50, 50), "2 <= start < end"),
        (lambda: timesteps.curricula.progressive_scales(0), "total_steps >= 1"),
        (lambda: timesteps.curricula.doubling_scales(3, 10, 1280), "fewer than the doublings"),
        (lambda: timesteps.curricula.doubling_scales(100, 0, 10), "1 <= start < end"),
        (lambda: timesteps.curricula.halving_steps(10, 1), "start >= 2, got 10, 1"),
        (lambda: timesteps.curricula.halving_steps(0), "steps_per_stage >= 1"),
        (lambda: timesteps.curricula.ect_stages(0), "steps_per_stage must be at least 1"),
        (lambda: timesteps.curricula.target_decay(5, 1.0), r"start_decay must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_input(run, message):
    with pytest.raises(ValueError, match=message):
        run()
