"""EDM's schedules, which count images instead of steps: the average of the parameters and the learning rate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxdiff.types import Array, Params, floating


def half_life(step: Array, batch_size: int, halflife: float, rampup_ratio: float | None = 0.05) -> Array:
    """Half-life of the average, in images, at most `rampup_ratio` of the images seen before this step.

    Reference: Karras et al. 2022, Appendix F.3: 500,000 images and 5 % for CIFAR-10.
    Example:
      >>> float(half_life(jnp.array(10), batch_size=100, halflife=5e5, rampup_ratio=0.05))
      50.0
    """
    seen = floating(step) * batch_size
    return jnp.minimum(halflife, seen * rampup_ratio) if rampup_ratio is not None else jnp.full_like(seen, halflife)


def decay(batch_size: int, halflife: float, rampup_ratio: float | None = 0.05) -> Callable[[Array], Array]:
    """beta(step) = 0.5^(batch_size / half_life(step)); 0 at step 0 with ramp-up, so that the average starts afresh.

    Args:
      batch_size: images a step.
      halflife: in images, > 0.
      rampup_ratio: of the images seen, or None for a constant half-life.
    Raises: ValueError when halflife is not positive.
    Example:
      >>> float(decay(100, halflife=100, rampup_ratio=None)(jnp.array(7)))
      0.5
    """
    if not halflife > 0:
        raise ValueError(f"halflife must be positive, got {halflife} images")
    return lambda step: 0.5 ** (batch_size / jnp.maximum(half_life(step, batch_size, halflife, rampup_ratio), 1e-8))


def update(ema: Params, params: Params, beta: Array) -> Params:
    """params + beta * (ema - params), in which a constant stays exactly constant.

    Example:
      >>> update(jnp.array(2.0), jnp.array(0.0), jnp.array(0.5)).item()
      1.0
    """
    return jax.tree.map(lambda e, p: p + beta.astype(p.dtype) * (e - p), ema, params)


def warmup(learning_rate: float, batch_size: int, rampup: float) -> optax.Schedule:
    """Linear warm-up over `rampup` images, counted before the step: the first step has rate 0.

    Reference: Karras et al. 2022, Appendix F.3: 10 million images for CIFAR-10.
    Example:
      >>> float(warmup(1e-3, batch_size=50, rampup=100)(1))
      0.0005000000237487257
    """
    return lambda count: learning_rate * jnp.minimum(floating(count) * batch_size / max(rampup, 1e-8), 1.0)


def cooldown(rate: optax.Schedule, num_steps: int, share: float) -> optax.Schedule:
    """`rate` times a factor that falls linearly from 1 to 0 over the last `share` of the steps.

    Raises: ValueError when share is not in (0, 1].
    Example:
      >>> [round(float(cooldown(lambda count: 1.0, 100, 0.5)(count)), 2) for count in (0, 50, 75, 100)]
      [1.0, 1.0, 0.5, 0.0]
    """
    if not 0 < share <= 1:
        raise ValueError(f"cooldown must be a share of the steps in (0, 1], got {share}")
    return lambda count: rate(count) * jnp.clip((num_steps - floating(count)) / (share * num_steps), 0.0, 1.0)
