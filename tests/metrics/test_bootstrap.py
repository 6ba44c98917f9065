"""The bootstrap's error against those that are known."""

import numpy as np
import pytest

from jaxdiff.metrics.bootstrap import standard_error
from jaxdiff.metrics.frechet import distance_of_stats, feature_stats


def test_of_a_mean():
    x = np.random.default_rng(0).normal(size=500)
    got = standard_error(lambda rows: x[rows].mean(), len(x), resamples=2_000)
    assert got == pytest.approx(x.std() / 500**0.5, rel=0.06)


def test_of_a_constant():
    assert standard_error(lambda rows: 3.0, 5) == 0


def test_of_a_frechet_distance():
    """As far as the distance moves when both are drawn anew from one Gaussian far from the reference."""
    reference = feature_stats(np.random.default_rng(0).normal(size=(5_000, 3)) + 2)
    draw = lambda seed: np.random.default_rng(seed).normal(size=(300, 3))  # noqa: E731
    spread = np.std([distance_of_stats(feature_stats(draw(seed)), reference) for seed in range(1, 300)], ddof=1)
    x = draw(0)
    got = standard_error(lambda rows: distance_of_stats(feature_stats(x[rows]), reference), len(x), resamples=300)
    assert got == pytest.approx(spread, rel=0.25)


def test_rows_are_a_function_of_the_seed():
    x = np.arange(10.0)
    run = lambda seed: standard_error(lambda rows: x[rows].mean(), 10, seed=seed)  # noqa: E731
    assert run(0) == run(0) != run(1)


@pytest.mark.parametrize(("num", "resamples"), [(1, 20), (20, 1)])
def test_bad_input(num, resamples):
    with pytest.raises(ValueError, match=f"num and resamples must be at least 2, got {num}, {resamples}"):
        standard_error(lambda rows: 0.0, num, resamples)
