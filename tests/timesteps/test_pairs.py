"""Pairs of neighbouring levels: ranges, laws, traced steps, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids, timesteps
from tests.support.pair_probabilities import pair_probabilities

SPAN = (0.002, 80.0, 7.0)


@pytest.mark.parametrize(
    "draw", [timesteps.pairs.uniform_levels, timesteps.pairs.lognormal_levels], ids=["uniform", "lognormal"]
)
def test_one_compile_serves_a_growing_grid(draw):
    """N is traced: pairs are neighbours on the grid of that step, from one program; float32."""
    compiled = []

    @jax.jit
    def pairs(step, uniform):
        compiled.append(step)
        num_scales = timesteps.curricula.progressive_scales(1000, 2, 40)(step)
        return num_scales, *draw(uniform, num_scales)

    uniform = jax.random.uniform(jax.random.key(0), (512,))
    for step in (0, 1, 500, 1000):
        num_scales, sigma, sigma_next = pairs(step, uniform)
        grid = grids.karras(int(num_scales), *SPAN)[:-1]
        index = np.argmin(np.abs(np.log(grid)[None] - np.log(sigma)[:, None]), axis=1)
        np.testing.assert_allclose(sigma, grid[index], rtol=2e-5)
        np.testing.assert_allclose(sigma_next, grid[index + 1], rtol=2e-5)
        assert set(index) == set(range(int(num_scales) - 1)) or num_scales > 20
    assert len(compiled) == 1


def test_ends_of_the_uniform_number():
    """0 and the largest float below 1 (and 1 itself, to which it may round) give the first and the last pair."""
    for draw in (timesteps.pairs.uniform_levels, timesteps.pairs.lognormal_levels):
        for num_scales in (2, 18, 1281):
            sigma, sigma_next = draw(jnp.array([0.0, 1.0 - 2.0**-24, 1.0]), num_scales)
            assert np.all(sigma > sigma_next)
            assert np.all(sigma_next > 0.00199)
            np.testing.assert_allclose(max(sigma), 80.0, rtol=1e-5)
            np.testing.assert_allclose(min(sigma_next), 0.002, rtol=1e-4)


def test_lognormal_levels_follow_the_law(x64):
    """Their probabilities are those of exp(P_mean + P_std n), given that it is on the grid."""
    n = 21
    probabilities = pair_probabilities(lambda uniform: timesteps.pairs.lognormal_levels(uniform, n), n)
    np.testing.assert_allclose(jnp.sum(probabilities), 1)
    drawn = np.exp(-1.1 + 2.0 * np.asarray(jax.random.normal(jax.random.key(0), (400_000,))))
    grid = grids.karras(n, *SPAN)[:-1]
    inside = drawn[(drawn > grid[-1]) & (drawn < grid[0])]
    share = np.histogram(inside, grid[::-1])[0][::-1] / len(inside)
    np.testing.assert_allclose(share, probabilities, atol=4 * 0.5 / np.sqrt(len(inside)))


def test_ect_gap_closes(x64):
    """r is 0 or below t, and t - r at least halves with every stage once r is above 0."""
    t = jnp.geomspace(1e-3, 80.0, 50)
    gaps = np.array([t - timesteps.pairs.ect_sigma_next(t, stage) for stage in range(8)])
    assert np.all(gaps > 0)
    assert np.all(gaps <= np.asarray(t))
    open_ = gaps[:-1] < np.asarray(t)
    np.testing.assert_allclose((gaps[1:] / gaps[:-1])[open_], 0.5)


def test_ect_takes_a_traced_step():
    stage = timesteps.curricula.ect_stages(100)
    r = jax.jit(lambda step, t: timesteps.pairs.ect_sigma_next(t, stage(step)))
    t = jnp.array([0.5, 5.0])
    np.testing.assert_allclose(r(250, t), timesteps.pairs.ect_sigma_next(t, 2), rtol=1e-6)


@pytest.mark.parametrize("num_scales", [1, 0, -3])
def test_too_few_levels(num_scales):
    u = jnp.array([0.5])
    for run in (
        lambda: timesteps.pairs.uniform_levels(u, num_scales),
        lambda: timesteps.pairs.lognormal_levels(u, num_scales),
        lambda: timesteps.pairs.adjacent_levels(np.array([0]), num_scales),
        lambda: timesteps.curricula.target_decay(num_scales),
    ):
        with pytest.raises(ValueError, match=f"num_scales must be at least 2, got {num_scales}"):
            run()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: timesteps.pairs.adjacent_levels(np.array([17]), 18), r"index must lie in \[0, N - 2\]"),
        (lambda: timesteps.pairs.adjacent_levels(np.array([-1]), 18), r"index must lie in \[0, N - 2\]"),
        (lambda: timesteps.pairs.lognormal_levels(jnp.array([0.5]), 18, p_std=0.0), "p_std must be positive, got 0.0"),
        (lambda: timesteps.pairs.ect_sigma_next(jnp.ones(1), 0, q=1.0), "need q > 1"),
        (lambda: timesteps.pairs.ect_sigma_next(np.zeros(1), 0), "sigma must be positive"),
        (lambda: timesteps.pairs.progressive_levels(np.array([0]), 0), "num_steps must be at least 1, got 0"),
    ],
)
def test_bad_input(run, message):
    with pytest.raises(ValueError, match=message):
        run()
