"""Few-step sampling by the exact consistency function of a Gaussian; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids
from jaxdiff.guidance import clip
from jaxdiff.samplers import consistency, dpm_2, sample, search_time_points, time_points, trajectory
from jaxdiff.samplers.timepoints import ternary_search
from tests.samplers.table import gaussian_consistency

MEAN, VARIANCE = 0.4, 0.3
F = gaussian_consistency(0.002)(MEAN, VARIANCE)


def start(num, sigma=80.0):
    return MEAN + np.sqrt(VARIANCE + sigma**2) * jax.random.normal(jax.random.key(0), (num, 1))


def test_one_step_is_the_function_itself():
    x = start(8)
    out = sample(consistency(), F, x, time_points(), key=jax.random.key(1))
    np.testing.assert_allclose(out, F(x, 80.0), rtol=1e-6)


@pytest.mark.parametrize("points", [(), (0.8,), (20.0, 5.0, 1.0, 0.1)], ids=len)
def test_moments_at_every_level(points):
    """The state before each jump is N(mean, variance + sigma^2), the end N(mean, variance + sigma_min^2)."""
    num, sigmas = 20_000, time_points(points)
    run = jax.jit(lambda x, key: trajectory(consistency(), F, x, sigmas, key=key)[1])
    for sigma, x in zip(sigmas, np.asarray(run(start(num), jax.random.key(1)), np.float64), strict=True):
        expected = VARIANCE + sigma**2
        assert abs(x.mean() - MEAN) < 4 * np.sqrt(expected / num)
        assert abs(x.var() - expected) < 4 * expected * np.sqrt(2 / num)


def test_a_step_forgets_all_but_the_jump(x64):
    """With given draws: x' = f(x, sigma) + sqrt(sigma'^2 - sigma_min^2) z, and in full for sigma_min = 0."""
    x, z = jnp.array([[7.0]], jnp.float64), jnp.array([[[1.5]], [[-3.0]]], jnp.float64)
    for low in (0.002, 0.0):
        f = gaussian_consistency(low)(MEAN, VARIANCE)
        expected = f(f(x, 80.0) + np.sqrt(0.8**2 - low**2) * z[0], 0.8)
        out = sample(consistency(low), f, x, time_points([0.8], sigma_min=low), noise=z)
        np.testing.assert_allclose(out, expected, rtol=1e-14)


def test_nothing_is_clipped_unless_asked():
    run = lambda f: sample(consistency(), f, start(50), time_points(), key=jax.random.key(1))  # noqa: E731
    assert float(jnp.abs(run(F)).max()) > 1
    np.testing.assert_array_equal(run(clip(F)), jnp.clip(run(F), -1, 1))


def test_points_next_to_the_ends():
    assert time_points().tolist() == [80.0, 0.002]
    assert time_points([0.0021], sigma_max=5.0).tolist() == [5.0, 0.0021, 0.002]
    assert time_points((0.8,), sigma_min=0.0).tolist() == [80.0, 0.8, 0.0]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 1), (3, 5), (0, 38), (1, 149), (-7, 90)])
def test_ternary_search_finds_every_minimum(low, high):
    """Both ends included, in logarithmically many steps."""
    for best in range(low, high + 1):
        asked = []

        def value(i, best=best, asked=asked):
            asked.append(i)
            return abs(i - best) ** 1.5 if i > best else 3.0 * (best - i)

        assert ternary_search(value, low, high) == best
        assert len(asked) == len(set(asked))
        assert len(asked) <= 2 * np.log(high - low + 3) / np.log(1.5) + 3
        assert min(asked) >= low
        assert max(asked) <= high


@pytest.mark.parametrize("flat", [(0, 0), (0, 20), (10, 30), (0, 40), (39, 40), (5, 6)])
def test_ternary_search_on_plateaus(flat):
    """Where the function is flat at its minimum the lowest found is inside, and flat shoulders hide nothing."""
    low, high = flat
    bottom = lambda i: max(low - i, i - high, 0)  # noqa: E731
    assert low <= ternary_search(bottom, 0, 40) <= high
    shoulders = lambda i: min(bottom(i), 2)  # noqa: E731
    assert low <= ternary_search(shoulders, 0, 40) <= high


def test_ternary_search_keeps_the_best_that_it_saw():
    """A metric with noise is not unimodal: never is a worse point than another that was asked returned."""
    for seed in range(50):
        values, asked = np.random.default_rng(seed).normal(size=60), []
        found = ternary_search(lambda i, values=values, asked=asked: asked.append(i) or values[i], 0, 59)
        assert values[found] == min(values[i] for i in asked)


def test_points_are_found_one_after_another():
    """A separable metric: each point has its own best level, the nearest candidate in log sigma."""
    levels, wanted = grids.karras(40)[:-1], np.log([9.0, 1.0, 0.1])

    def metric(points):
        return float(np.sum((np.log(points) - wanted[: len(points)]) ** 2))

    found = search_time_points(metric, levels, 3)
    inner = np.log(levels[1:-1])
    expected = [np.exp(inner[np.argmin(np.abs(inner - best))]) for best in wanted]
    np.testing.assert_allclose(found, expected)
    time_points(found)


@pytest.mark.parametrize("end", [1e-6, 1e6])
def test_points_at_the_ends_leave_room_for_those_that_follow(end):
    levels = grids.karras(8)[:-1]
    metric = lambda points: abs(np.log(points[-1] / end))  # noqa: E731
    for num_points in (1, 2, 6):
        found = search_time_points(metric, levels, num_points)
        expected = levels[1 : num_points + 1] if end > 1 else levels[-num_points - 1 : -1]
        np.testing.assert_allclose(found, expected)


def test_the_best_second_level_is_found(x64):
    """f is off by e(sigma) = sigma / 160, so that two steps are off by e(80) g(tau) + e(tau): best in between.

    g is what the second step keeps of the first one's output. Draws come with their negatives: the mean has no noise.
    """
    off = lambda x, sigma: F(x, sigma) + sigma / 160  # noqa: E731
    gain = lambda tau: np.sqrt((VARIANCE + 0.002**2) / (VARIANCE + tau**2))  # noqa: E731
    z = jax.random.normal(jax.random.key(1), (3, 20, 1), jnp.float64)
    z = jnp.concatenate([z, -z], axis=1)
    run = jax.jit(lambda sigmas: sample(consistency(), off, MEAN + 80 * z[0], sigmas, noise=z[1:]))

    def metric(points):
        return abs(float(jnp.mean(run(time_points(points)))) - MEAN)

    levels = grids.karras(40)[:-1]
    (found,) = search_time_points(metric, levels, 1)
    error = 0.5 * gain(levels[1:-1]) + levels[1:-1] / 160
    assert found == levels[1:-1][np.argmin(error)]
    np.testing.assert_allclose(metric((found,)), error.min(), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: consistency(-0.1), "sigma_min must be at least 0 and finite, got -0.1"),
        (lambda: consistency(float("nan")), "sigma_min must be at least 0"),
        (lambda: dpm_2(0.0), "rho must be positive"),
        (lambda: time_points([1.0, 2.0]), r"points must decrease .* got \[1.0, 2.0\]"),
        (lambda: time_points([1.0, 1.0]), "points must decrease"),
        (lambda: time_points([90.0]), r"points must decrease between sigma_max = 80.0 .* got \[90.0\]"),
        (lambda: time_points([80.0]), "points must decrease between sigma_max = 80.0"),
        (lambda: time_points([0.001]), "and sigma_min = 0.002"),
        (lambda: time_points([float("nan")]), "points must decrease"),
        (lambda: time_points([[1.0]]), "points must be a list of levels"),
        (lambda: time_points([], sigma_min=3.0, sigma_max=2.0), "need 0 <= sigma_min < sigma_max"),
        (lambda: search_time_points(len, grids.karras(3), 3), "num_points must lie between 1 and 2 for 4 levels"),
        (lambda: search_time_points(len, grids.karras(3), 0), "num_points must lie between 1"),
        (lambda: search_time_points(len, grids.karras(3)[::-1], 1), "sigmas must decrease"),
        (lambda: search_time_points(lambda points: float("nan"), grids.karras(3), 1), "got nan at index 1"),
        (lambda: ternary_search(lambda i: i, 2, 1), "must not be empty"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
