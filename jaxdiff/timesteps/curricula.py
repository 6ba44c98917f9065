"""How the number of levels, the target's decay, ECT's stage and sCM's warmup depend on the training step.

A schedule is made on the host, where the steps at which it changes are computed in integers, and is then a function of
a step that may be traced. In floating point the formulas are one level off at a few of a million steps.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike, as_floating

StepSchedule = Callable[[ArrayLike], Array]
"""Integer step [] -> integer []."""


def progressive_scales(total_steps: int, start: int = 2, end: int = 150) -> StepSchedule:
    """Make the number of levels of consistency training, which grows with the step.

    N(k) = ceil(sqrt(k/K ((s1 + 1)^2 - s0^2) + s0^2) - 1) + 1, at least 2

    Args:
      total_steps: K; N stays at s1 + 1 after it.
      start, end: s0 >= 2 and s1 > s0.
    Returns: N as a function of the step, from max(s0, 2) to s1 + 1.
    Raises: ValueError when an argument is outside its range: s0 = 1 is N(0) = 1, a grid without a pair.
    Reference: Song et al. 2023, Appendix C; s0 = 2 and s1 = 150 are the paper's for CIFAR-10.
    Example:
      >>> scales = progressive_scales(800_000)
      >>> int(scales(0)), int(scales(1)), int(scales(800_000))
      (2, 3, 151)
    """
    _check_span(total_steps, start, end)
    # N - 1 exceeds n from the first k with k ((s1 + 1)^2 - s0^2) > K ((n + 1)^2 - s0^2) on.
    first = max(start - 1, 1)
    span = (end + 1) ** 2 - start**2
    changes = [total_steps * ((n + 1) ** 2 - start**2) // span + 1 for n in range(first, end)]
    return _table(changes, range(first + 1, end + 2))


def doubling_scales(total_steps: int, start: int = 10, end: int = 1280) -> StepSchedule:
    """Make the number of levels of improved consistency training, which doubles.

    N(k) = min(s0 2^floor(k / K'), s1) + 1,  K' = floor(K / (log2 floor(s1 / s0) + 1))

    Args:
      total_steps: K.
      start, end: s0 >= 1 and s1 > s0.
    Returns: N as a function of the step, from s0 + 1 to s1 + 1.
    Raises: ValueError when an argument is outside its range.
    Reference: Song & Dhariwal 2024, section 3.4; the defaults are the paper's.
    Example:
      >>> scales = doubling_scales(400_000)
      >>> int(scales(0)), int(scales(50_000)), int(scales(400_000))
      (11, 21, 1281)
    """
    _check_span(total_steps, start, end, lowest=1)
    period = int(total_steps / (np.log2(end // start) + 1))
    if period < 1:
        raise ValueError(f"total_steps={total_steps} are fewer than the doublings from {start} to {end}")
    count = int(np.ceil(np.log2(end / start)))
    return _table([period * (i + 1) for i in range(count)], [min(start * 2**i, end) + 1 for i in range(count + 1)])


def halving_steps(steps_per_stage: int, start: int = 4096) -> StepSchedule:
    """Make the sampling steps of progressive distillation's student, halved every stage; that of 2 is twice as long.

    n(k) = max(floor(s / 2^floor(k / K)), 2), and 1 from k = K (log2 s + 1) on

    Args:
      steps_per_stage: K >= 1.
      start: s >= 2, of the first student; a power of 2, or an odd number of steps is halved too, and rounded down.
    Returns: n as a function of the step.
    Raises: ValueError when an argument is outside its range.
    Reference: Salimans & Ho 2022 (2202.00512), Alg. 2; the lengths are those of Song et al. 2023, Appendix C.
    Example:
      >>> steps = halving_steps(100, start=8)
      >>> [int(steps(k)) for k in (0, 100, 200, 300, 400)]
      [8, 4, 2, 2, 1]
    """
    if steps_per_stage < 1 or start < 2:
        raise ValueError(f"need steps_per_stage >= 1 and start >= 2, got {steps_per_stage}, {start}")
    above = [start >> i for i in range(start.bit_length()) if start >> i > 2]
    changes = [steps_per_stage * (i + 1) for i in range(len(above))]
    return _table([*changes, int(np.ceil(steps_per_stage * (np.log2(start) + 1)))], [*above, 2, 1])


def ect_stages(steps_per_stage: int) -> StepSchedule:
    """Count the stages of easy consistency tuning: floor(k / steps_per_stage).

    Returns: the stage as a function of the step.
    Raises: ValueError when steps_per_stage is not positive.
    Reference: Geng et al. 2025 (2406.14548).
    Example:
      >>> int(ect_stages(100)(250))
      2
    """
    if steps_per_stage < 1:
        raise ValueError(f"steps_per_stage must be at least 1, got {steps_per_stage}")
    return lambda step: jnp.asarray(step) // steps_per_stage


def target_decay(num_scales: ArrayLike, start_decay: float = 0.9, start: int = 2) -> Array:
    """Compute the decay of the target network's moving average, which rises with N.

    mu = exp(s0 log(mu0) / (N - 1))

    Args:
      num_scales: N(k) from `progressive_scales`, may be traced.
      start_decay: mu0 in [0, 1); 0 makes the target the online network.
      start: s0 of the schedule.
    Returns: mu in the shape of num_scales.
    Raises: ValueError when start_decay is outside its range or N on the host is below 2.
    Reference: Song et al. 2023, Appendix C; departure: N - 1 where the paper writes N, as in the authors' code.
    Example:
      >>> round(float(target_decay(3)), 6)
      0.9
    """
    if not 0 <= start_decay < 1:
        raise ValueError(f"start_decay must lie in [0, 1), got {start_decay}")
    if isinstance(num_scales, int | np.integer) and num_scales < 2:
        raise ValueError(f"num_scales must be at least 2, got {num_scales}")
    return as_floating(start_decay) ** (start / (as_floating(num_scales) - 1))


def tangent_warmup(step: ArrayLike, warmup_steps: int = 10_000) -> Array:
    """Warm the tangent up: r = min(1, k / H), so that training starts as that of a diffusion model.

    Args:
      step: k, [] integer, may be traced; warmup_steps: H.
    Returns: r in [0, 1], the `warmup` of `losses.consistency.scm`.
    Raises: ValueError when warmup_steps is not positive.
    Reference: Lu & Song 2025 (2410.11081), "tangent warmup" and Alg. 1; H = 10,000 is theirs.
    Example:
      >>> float(tangent_warmup(2_500))
      0.25
    """
    if warmup_steps < 1:
        raise ValueError(f"warmup_steps must be at least 1, got {warmup_steps}")
    return jnp.minimum(as_floating(step) / warmup_steps, 1)


def _table(changes: Sequence[int], values: Sequence[int]) -> StepSchedule:
    """values[j] from step changes[j - 1] on."""
    steps, table = np.asarray(changes, np.int32), np.asarray(values, np.int32)

    def of_step(step: ArrayLike) -> Array:
        return jnp.asarray(table)[jnp.searchsorted(jnp.asarray(steps), jnp.asarray(step), side="right")]

    return of_step


def _check_span(total_steps: int, start: int, end: int, lowest: int = 2) -> None:
    if total_steps < 1 or not lowest <= start < end:
        raise ValueError(
            f"need total_steps >= 1 and {lowest} <= start < end, got total_steps={total_steps}, {start=}, {end=}"
        )
