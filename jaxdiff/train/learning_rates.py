"""Schedules of the learning rate, as optax takes them: functions of the number of steps done."""

import jax.numpy as jnp
import optax

from jaxdiff.types import Array, as_floating


def warmup(learning_rate: float, batch_size: int, rampup: float) -> optax.Schedule:
    """Build a linear warm-up, counted in images before the step: the first step has rate 0.

    learning_rate * min(step * batch_size / rampup, 1)

    Args:
      learning_rate: at the end.
      batch_size: images a step.
      rampup: how many images it takes; 0 for none.
    Reference: Karras et al. 2022, Appendix F.3: 10 million images for CIFAR-10.
    Example:
      >>> [float(warmup(8.0, batch_size=50, rampup=100)(count)) for count in (0, 1, 2, 3)]
      [0.0, 4.0, 8.0, 8.0]
    """
    return lambda count: learning_rate * jnp.minimum(as_floating(count) * batch_size / max(rampup, 1e-8), 1.0)


def cooldown(rate: optax.Schedule, num_steps: int, share: float) -> optax.Schedule:
    """Lower a rate linearly to 0 over the last `share` of the steps.

    rate(count) * clip((num_steps - count) / (share * num_steps), 0, 1)

    Args:
      rate: count -> learning rate.
      num_steps: of the whole run.
      share: in (0, 1].
    Raises: ValueError when share is not in (0, 1].
    Example:
      >>> [round(float(cooldown(lambda count: 1.0, 100, 0.5)(count)), 2) for count in (0, 50, 75, 100)]
      [1.0, 1.0, 0.5, 0.0]
    """
    if not 0 < share <= 1:
        raise ValueError(f"cooldown must be a share of the steps in (0, 1], got {share}")
    return lambda count: rate(count) * jnp.clip((num_steps - as_floating(count)) / (share * num_steps), 0.0, 1.0)


def cosine_by_epoch(learning_rate: float, steps_per_epoch: int, num_epochs: int, floor: float = 1e-5) -> optax.Schedule:
    """Build a cosine decay that steps once an epoch.

    floor + (learning_rate - floor) (1 + cos(pi e / num_epochs)) / 2 in epoch e, and the floor afterwards

    Args:
      learning_rate: in epoch 0.
      steps_per_epoch, num_epochs: >= 1.
      floor: rate from epoch num_epochs on, 1e-5 as in the released code.
    Raises: ValueError when one of them is below 1.
    Reference: Loshchilov & Hutter 2017 (1608.03983), Eq. 5, without restarts; Xiao et al. 2022, Appendix.
    Example:
      >>> rate = cosine_by_epoch(3e-5, steps_per_epoch=10, num_epochs=2)
      >>> [round(float(rate(step)), 7) for step in (0, 9, 10, 20, 99)]
      [3e-05, 3e-05, 2e-05, 1e-05, 1e-05]
    """
    for name, value in (("steps_per_epoch", steps_per_epoch), ("num_epochs", num_epochs)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")

    def rate(count: Array) -> Array:
        share = as_floating(jnp.minimum(jnp.asarray(count) // steps_per_epoch, num_epochs)) / num_epochs
        return floor + (learning_rate - floor) * (1 + jnp.cos(jnp.pi * share)) / 2

    return rate
