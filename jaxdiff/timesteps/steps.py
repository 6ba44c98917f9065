"""Steps t of a discrete process to train next: antithetic, or where the loss's second moment is large."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, Float


class LossHistory(NamedTuple):
    """The last losses of every step: losses [T, H], oldest first, and how many of them are filled, counts [T]."""

    losses: Float[Array, "T H"]
    counts: Array


def empty_history(num_steps: int, history: int = 10) -> LossHistory:
    """Create a history without losses.

    Args:
      num_steps: T; history: H, how many losses of each step are kept.
    Returns: a LossHistory of zeros.
    Reference: Nichol & Dhariwal 2021, section 3.3; H = 10 is theirs.
    Example:
      >>> empty_history(4).counts.tolist()
      [0, 0, 0, 0]
    """
    return LossHistory(jnp.zeros((num_steps, history)), jnp.zeros(num_steps, jnp.int32))


def importance_probabilities(history: LossHistory, uniform_prob: float = 0.001) -> Float[Array, " T"]:
    """Compute the probability of each step: p_t ~ sqrt(E[L_t^2]), uniform until every step has a full history.

    p_t = (1 - u) sqrt(E[L_t^2]) / sum_s sqrt(E[L_s^2]) + u / T

    Args:
      history: the last losses of each step.
      uniform_prob: u, which gives every step a chance.
    Returns: [T], summing to 1.
    Reference: Nichol & Dhariwal 2021, Eq. 18; u = 0.001 as in the authors' code.
    Example:
      >>> importance_probabilities(LossHistory(jnp.array([[1.0], [3.0]]), jnp.array([1, 1])), uniform_prob=0.0).tolist()
      [0.25, 0.75]
    """
    num_steps, length = history.losses.shape
    moment = jnp.sqrt(jnp.mean(history.losses**2, axis=1))
    warm = jnp.all(history.counts == length)
    share = moment / jnp.where(warm, moment.sum(), 1)
    return jnp.where(warm, share * (1 - uniform_prob) + uniform_prob / num_steps, 1 / num_steps)


def update_history(history: LossHistory, t: Array, losses: Float[Array, " B"]) -> LossHistory:
    """Append a batch of losses in its order; the oldest are forgotten.

    Args:
      history: so far; t: steps [B]; losses: [B].
    Returns: the new LossHistory.
    Reference: Nichol & Dhariwal 2021, section 3.3.
    Example:
      >>> update_history(empty_history(2, history=2), jnp.array([0, 0, 0]), jnp.array([1.0, 2.0, 3.0])).losses.tolist()
      [[2.0, 3.0], [0.0, 0.0]]
    """
    length = history.losses.shape[1]

    def body(history: LossHistory, example: tuple[Array, Array]) -> tuple[LossHistory, None]:
        t, loss = example
        row, count = history.losses[t], history.counts[t]
        filled = jnp.where(count < length, row.at[count].set(loss), jnp.roll(row, -1).at[-1].set(loss))
        counts = history.counts.at[t].set(jnp.minimum(count + 1, length))
        return LossHistory(history.losses.at[t].set(filled), counts), None

    return jax.lax.scan(body, history, (t, losses.astype(history.losses.dtype)))[0]


def importance_steps(uniform: Float[Array, " B"], probabilities: Float[Array, " T"]) -> tuple[Array, Array]:
    """Draw steps by their probabilities, with the weights 1 / (T p_t) that keep the mean loss unbiased.

    Args:
      uniform: u ~ U[0, 1), [B].
      probabilities: p [T], from `importance_probabilities`, or `jnp.full(T, 1 / T)`.
    Returns: (t, weight), [B] each.
    Reference: Nichol & Dhariwal 2021, Eq. 18.
    Example:
      >>> t, weight = importance_steps(jnp.array([0.1, 0.9]), jnp.array([0.25, 0.75]))
      >>> t.tolist(), [round(w, 4) for w in weight.tolist()]
      ([0, 1], [2.0, 0.6667])
    """
    num_steps = probabilities.shape[0]
    t = jnp.minimum(jnp.searchsorted(jnp.cumsum(probabilities), uniform, side="right"), num_steps - 1)
    return t, 1 / (num_steps * probabilities[t])


def antithetic_steps(uniform: Float[Array, " half"], num_steps: int, batch: int) -> Array:
    """Draw steps in pairs t = floor(u T) and T - 1 - t, so that every batch sees both ends alike.

    Args:
      uniform: u ~ U[0, 1), one for every pair: [ceil(batch / 2)].
      num_steps: T; batch: how many steps.
    Returns: [batch] integers in 0 .. T-1.
    Raises: ValueError when uniform has another shape.
    Reference: antithetic variates, as in the released code of DDIM (Song et al. 2021, 2010.02502).
    Example:
      >>> antithetic_steps(jnp.array([0.0, 0.55]), 10, 3).tolist()
      [0, 5, 9]
    """
    if uniform.shape != (-(-batch // 2),):
        raise ValueError(f"uniform must be [{-(-batch // 2)}] for a batch of {batch}, got {list(np.shape(uniform))}")
    t = jnp.minimum((uniform * num_steps).astype(jnp.int32), num_steps - 1)
    return jnp.concatenate([t, num_steps - 1 - t])[:batch]
