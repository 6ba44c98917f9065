"""Levels, schedules and distances of consistency models: ranges, laws, traced steps, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids
from jaxdiff.losses import consistency_levels as levels
from jaxdiff.losses import consistency_schedules as schedules
from jaxdiff.losses import distances, progressive

SPAN = (0.002, 80.0, 7.0)


@pytest.mark.parametrize("draw", [levels.uniform_levels, levels.lognormal_levels], ids=["uniform", "lognormal"])
def test_one_compile_serves_a_growing_grid(draw):
    """N is traced: pairs are neighbours on the grid of that step, from one program; float32."""
    compiled = []

    @jax.jit
    def pairs(step, uniform):
        compiled.append(step)
        num_scales = schedules.progressive_scales(1000, 2, 40)(step)
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
    for draw in (levels.uniform_levels, levels.lognormal_levels):
        for num_scales in (2, 18, 1281):
            sigma, sigma_next = draw(jnp.array([0.0, 1.0 - 2.0**-24, 1.0]), num_scales)
            assert np.all(sigma > sigma_next)
            assert np.all(sigma_next > 0.00199)
            np.testing.assert_allclose(max(sigma), 80.0, rtol=1e-5)
            np.testing.assert_allclose(min(sigma_next), 0.002, rtol=1e-4)


def test_karras_sigma_is_the_grid(x64):
    np.testing.assert_allclose(levels.karras_sigma(np.linspace(0, 1, 9), *SPAN), grids.karras(9, *SPAN)[:-1])


def test_lognormal_probabilities_follow_the_law(x64):
    """Cumulated from the top they are those of exp(P_mean + P_std n), given that it is on the grid."""
    n = 21
    probabilities = levels.lognormal_probabilities(n)
    np.testing.assert_allclose(jnp.sum(probabilities), 1)
    drawn = np.exp(-1.1 + 2.0 * np.asarray(jax.random.normal(jax.random.key(0), (400_000,))))
    grid = grids.karras(n, *SPAN)[:-1]
    inside = drawn[(drawn > grid[-1]) & (drawn < grid[0])]
    share = np.histogram(inside, grid[::-1])[0][::-1] / len(inside)
    np.testing.assert_allclose(share, probabilities, atol=4 * 0.5 / np.sqrt(len(inside)))


def test_progressive_scales_never_fall_and_end_at_the_top():
    scales = schedules.progressive_scales(5000, 2, 60)(np.arange(6000))
    assert scales[0] == 2
    assert np.all(np.diff(scales) >= 0)
    assert np.all(scales[5000:] == 61)


def test_target_decay_rises_with_the_scales():
    """mu(N) = mu0 where N - 1 = s0, and 0 is allowed: the target is then the online network."""
    decay = schedules.target_decay(jnp.array([2, 3, 20, 151]), 0.9)
    assert np.all(np.diff(decay) > 0)
    assert np.all(decay < 1)
    assert schedules.target_decay(5, 0.0) == 0


@pytest.mark.parametrize(("start", "end"), [(10, 1280), (10, 50), (1, 64)])
def test_doubling_reaches_the_end(start, end):
    scales = np.asarray(schedules.doubling_scales(1000, start, end)(np.arange(1001)))
    assert (scales[0], scales[-1]) == (start + 1, end + 1)
    assert np.all(np.diff(scales) >= 0)
    assert np.all(scales[1:] - 1 <= 2 * (scales[:-1] - 1))


def test_ect_gap_closes(x64):
    """r is 0 or below t, and t - r at least halves with every stage once r is above 0."""
    t = jnp.geomspace(1e-3, 80.0, 50)
    gaps = np.array([t - levels.ect_sigma_next(t, stage) for stage in range(8)])
    assert np.all(gaps > 0)
    assert np.all(gaps <= np.asarray(t))
    open_ = gaps[:-1] < np.asarray(t)
    np.testing.assert_allclose((gaps[1:] / gaps[:-1])[open_], 0.5)


def test_ect_takes_a_traced_step():
    stage = schedules.stages(100)
    r = jax.jit(lambda step, t: levels.ect_sigma_next(t, stage(step)))
    t = jnp.array([0.5, 5.0])
    np.testing.assert_allclose(r(250, t), levels.ect_sigma_next(t, 2), rtol=1e-6)


def test_pseudo_huber_keeps_its_digits_and_its_gradient():
    """|x - y| far below c in float32: d = |x - y|^2 / (2 c), where the difference of roots would be 0."""
    x, y = jnp.full((1, 4), 1e-6), jnp.zeros((1, 4))
    np.testing.assert_allclose(distances.pseudo_huber(x, y, 1.0), 2e-12, rtol=1e-5)
    for c in (0.0, 0.03):
        assert np.all(jax.grad(lambda x, c=c: jnp.sum(distances.pseudo_huber(x, x0, c)))(x0 := jnp.ones((2, 3))) == 0)


def test_linf_s_gradient_survives_compilation(x64):
    """d max|x - y| / dx is one signed unit vector an example, in whatever fusion x - y is computed again."""
    x, y = (jax.random.normal(key, (64, 48)) for key in jax.random.split(jax.random.key(0)))
    gradient = jax.jit(jax.grad(lambda w: jnp.sum(distances.linf(jnp.tanh(w * x), w * y))))
    expected = jax.grad(lambda w: jnp.sum(distances.linf(jnp.tanh(w * x), w * y)))
    np.testing.assert_allclose(gradient(0.7), expected(0.7), rtol=1e-12)


def test_resized_agrees_at_its_own_size(x64):
    x, y = (jax.random.normal(key, (2, 8, 8, 3)) for key in jax.random.split(jax.random.key(0)))
    np.testing.assert_allclose(distances.resized(distances.l2, 8)(x, y), distances.l2(x, y), rtol=1e-12)


@pytest.mark.parametrize("num_scales", [1, 0, -3])
def test_too_few_levels(num_scales):
    u = jnp.array([0.5])
    for run in (
        lambda: levels.uniform_levels(u, num_scales),
        lambda: levels.lognormal_levels(u, num_scales),
        lambda: levels.lognormal_probabilities(num_scales),
        lambda: levels.neighbours(np.array([0]), num_scales),
        lambda: schedules.target_decay(num_scales),
    ):
        with pytest.raises(ValueError, match=f"num_scales must be at least 2, got {num_scales}"):
            run()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: levels.neighbours(np.array([17]), 18), r"index must lie in \[0, N - 2\]"),
        (lambda: levels.neighbours(np.array([-1]), 18), r"index must lie in \[0, N - 2\]"),
        (lambda: levels.karras_sigma(1.5), r"ramp must lie in \[0, 1\], got 1.5"),
        (lambda: levels.karras_sigma(0.5, 2.0, 1.0), "need 0 < sigma_min < sigma_max"),
        (lambda: levels.karras_sigma(0.5, rho=0.0), "rho > 0"),
        (lambda: levels.lognormal_levels(jnp.array([0.5]), 18, p_std=0.0), "p_std must be positive, got 0.0"),
        (lambda: levels.ect_sigma_next(jnp.ones(1), 0, q=1.0), "need q > 1"),
        (lambda: levels.ect_sigma_next(np.zeros(1), 0), "sigma must be positive"),
        (lambda: schedules.progressive_scales(100, 1, 50), "2 <= start < end"),
        (lambda: schedules.progressive_scales(100, 50, 50), "2 <= start < end"),
        (lambda: schedules.progressive_scales(0), "total_steps >= 1"),
        (lambda: schedules.doubling_scales(3, 10, 1280), "fewer than the doublings"),
        (lambda: schedules.doubling_scales(100, 0, 10), "1 <= start < end"),
        (lambda: schedules.halving_steps(10, 1), "start >= 2, got 10, 1"),
        (lambda: schedules.halving_steps(0), "steps_per_stage >= 1"),
        (lambda: schedules.stages(0), "steps_per_stage must be at least 1"),
        (lambda: schedules.target_decay(5, 1.0), r"start_decay must lie in \[0, 1\), got 1.0"),
        (lambda: progressive.halved_levels(np.array([0]), 0), "num_steps must be at least 1, got 0"),
        (lambda: distances.pseudo_huber(jnp.ones((1, 2)), jnp.ones((1, 2)), -1.0), "c must be >= 0, got -1.0"),
        (lambda: distances.l2(jnp.ones((1, 2)), jnp.ones((2, 2))), "same shape"),
        (lambda: distances.resized(distances.l2, 0), "size must be at least 1"),
        (lambda: distances.resized(distances.l2, 4)(jnp.ones((1, 2)), jnp.ones((1, 2))), r"images must be \[B, H, W"),
    ],
)
def test_bad_input(run, message):
    with pytest.raises(ValueError, match=message):
        run()
