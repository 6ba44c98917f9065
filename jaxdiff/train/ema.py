"""The moving average of the parameters (EMA), and its decay as a function of the step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, Params, as_floating


def half_life(step: Array, batch_size: int, halflife: float, rampup_ratio: float | None = 0.05) -> Array:
    """Compute the half-life of the average, in images: min(halflife, rampup_ratio * images seen before this step).

    Args:
      step: number of steps done.
      batch_size: images a step.
      halflife: in images.
      rampup_ratio: of the images seen, or None for a constant half-life.
    Reference: Karras et al. 2022, Appendix F.3: 500,000 images and 5 % for CIFAR-10.
    Example:
      >>> float(half_life(jnp.array(10), batch_size=100, halflife=5e5, rampup_ratio=0.05))
      50.0
    """
    seen = as_floating(step) * batch_size
    return jnp.minimum(halflife, seen * rampup_ratio) if rampup_ratio is not None else jnp.full_like(seen, halflife)


def decay(batch_size: int, halflife: float, rampup_ratio: float | None = 0.05) -> Callable[[Array], Array]:
    """Build the decay of EDM's average, 0 at step 0 with ramp-up, so that the average starts afresh.

    beta(step) = 0.5^(batch_size / half_life(step))

    Args:
      batch_size: images a step.
      halflife: in images, > 0.
      rampup_ratio: of the images seen, or None for a constant half-life.
    Returns: step -> beta.
    Raises: ValueError when halflife is not positive.
    Reference: Karras et al. 2022, Appendix F.3.
    Example:
      >>> float(decay(100, halflife=100, rampup_ratio=None)(jnp.array(7)))
      0.5
    """
    if not halflife > 0:
        raise ValueError(f"halflife must be positive, got {halflife} images")
    return lambda step: 0.5 ** (batch_size / jnp.maximum(half_life(step, batch_size, halflife, rampup_ratio), 1e-8))


def update(ema: Params, params: Params, beta: Array) -> Params:
    """Update a moving average: params + beta * (ema - params), in which a constant stays exactly constant.

    Not optax.incremental_update, step * params + (1 - step) * ema: its rounding, where no compiler fuses it, moves
    constants such as the frequencies of an embedding, and it widens parameters of fewer bits than `beta`.

    Args:
      ema, params: pytrees of the same shapes.
      beta: decay, [], 0 .. 1.
    Example:
      >>> update(jnp.array(2.0), jnp.array(0.0), jnp.array(0.5)).item()
      1.0
    """
    return jax.tree.map(lambda e, p: p + beta.astype(p.dtype) * (e - p), ema, params)


def constant_decay(decay: float) -> Callable[[Array], Array]:
    """Build a constant decay, 0 at the first step: the average starts as a copy of the first update.

    beta(step) = 0 at step 0, `decay` afterwards

    Args:
      decay: in [0, 1]; DDGAN has 0.9999 on CIFAR-10.
    Returns: step -> beta.
    Raises: ValueError when decay is outside.
    Reference: Xiao et al. 2022, Appendix; where it starts is the released code's.
    Example:
      >>> constant_decay(0.5)(jnp.arange(3)).tolist()
      [0.0, 0.5, 0.5]
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must be in [0, 1], got {decay}")
    return lambda step: jnp.where(jnp.asarray(step) > 0, decay, 0.0)
