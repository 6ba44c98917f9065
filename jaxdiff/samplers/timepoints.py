"""Time points of few-step sampling: as a grid, and the search for the best ones. All on the host."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxdiff import grids

Metric = Callable[[tuple[float, ...]], float]
"""metric(points) -> what the search minimises, such as the Frechet distance of samples drawn with these points."""


def time_points(points: Sequence[float] = (), sigma_min: float = 0.002, sigma_max: float = 80.0) -> grids.Grid:
    """Make the grid sigma_max > points > sigma_min: one evaluation at sigma_max and one at each point.

    Args:
      points: tau_1 > tau_2 > ..., between sigma_min and sigma_max, in data units; none for one-step sampling.
      sigma_min: where the consistency function ends; 0 for ECT's.
      sigma_max: where sampling starts: the highest level, or that of a noised stroke painting.
    Returns: [points + 2] float64, for `sample(consistency(sigma_min), ...)`.
    Raises: ValueError when the points do not decrease strictly from sigma_max to sigma_min.
    Reference: Song et al. 2023, Alg. 1; the defaults are EDM's range, which they keep.
    Example:
      >>> time_points([5.0, 0.8]).tolist()
      [80.0, 5.0, 0.8, 0.002]
      >>> time_points([0.8, 5.0])
      Traceback (most recent call last):
      ValueError: points must decrease between sigma_max = 80.0 and sigma_min = 0.002, got [0.8, 5.0]
    """
    if not 0 <= sigma_min < sigma_max < np.inf:
        raise ValueError(f"need 0 <= sigma_min < sigma_max < inf, got sigma_min={sigma_min}, sigma_max={sigma_max}")
    inner = np.asarray(points, np.float64)
    if inner.ndim != 1:
        raise ValueError(f"points must be a list of levels, got shape {list(inner.shape)}")
    sigmas = np.concatenate([[sigma_max], inner, [sigma_min]])
    if not np.all(np.diff(sigmas) < 0):
        allowed = f"decrease between sigma_max = {sigma_max} and sigma_min = {sigma_min}"
        raise ValueError(f"points must {allowed}, got {inner.tolist()}")
    return sigmas


def search_time_points(metric: Metric, levels: grids.Grid, num_points: int) -> tuple[float, ...]:
    """Search the points that minimise a metric, one after another: each below those before it, which stay.

    Args:
      metric: of the points so far, as `time_points` takes them. It is asked once at most about the same points.
      levels: decreasing; those between the first and the last are the candidates. `grids.karras(40)[:-1]` with the
        authors' 40 levels.
      num_points: how many, >= 1, at most len(levels) - 2; enough candidates are left for those that follow.
    Returns: num_points levels. The best where each search is unimodal, and of all that were asked in any case.
    Raises: ValueError when the levels are no grid, there are too few, or the metric gives nan.
    Reference: Song et al. 2023, section 3 and Appendix C: greedy ternary search.
    Example:
      >>> search_time_points(lambda points: abs(points[-1] - 0.8), np.array([80.0, 9.0, 5.0, 1.0, 0.1, 0.002]), 1)
      (1.0,)
    """
    levels = np.asarray(levels, np.float64)
    grids.check(levels)
    if not 1 <= num_points <= len(levels) - 2:
        raise ValueError(
            f"num_points must lie between 1 and {len(levels) - 2} for {len(levels)} levels, got {num_points}"
        )
    points: tuple[float, ...] = ()
    index = 0
    for left in reversed(range(num_points)):

        def extended(i: int, points: tuple[float, ...] = points) -> float:
            return float(metric((*points, float(levels[i]))))

        index = ternary_search(extended, index + 1, len(levels) - 2 - left)
        points = (*points, float(levels[index]))
    return points


def ternary_search(value: Callable[[int], float], low: int, high: int) -> int:
    """Search the integer in [low, high], both included, where a unimodal function is smallest.

    A third of the range goes with every two values. Where they are equal no third can be left out, so that all
    three are searched: plateaus cost evaluations, not the minimum.

    Args:
      value: falls and then rises, either of which may be missing; +inf is allowed. It is asked once at most about each.
      low, high: low <= high.
    Returns: the best of all that were asked, the lowest where several are.
    Raises: ValueError when the range is empty or a value is nan.
    Example:
      >>> ternary_search(lambda i: (i - 7) ** 2, 0, 100)
      7
    """
    if low > high:
        raise ValueError(f"the range of a search must not be empty, got low={low}, high={high}")
    found: dict[int, float] = {}

    def at(i: int) -> float:
        if i not in found:
            found[i] = value(i)
            if np.isnan(found[i]):
                raise ValueError(f"the metric must be a number, got nan at index {i}")
        return found[i]

    ranges = [(low, high)]
    while ranges:
        low, high = ranges.pop()
        if high - low < 3:
            for i in range(low, high + 1):
                at(i)
            continue
        third = (high - low) // 3
        first, second = low + third, high - third
        if at(first) < at(second):
            ranges.append((low, second - 1))
        elif at(first) > at(second):
            ranges.append((first + 1, high))
        else:
            ranges += [(low, first - 1), (first + 1, second - 1), (second + 1, high)]
    return min(found, key=lambda i: (found[i], i))
