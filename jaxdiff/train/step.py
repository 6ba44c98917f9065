"""One pure training step, and several of them in one dispatch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdiff.train import ema, fully_sharded
from jaxdiff.train.state import TrainState
from jaxdiff.types import Array, Key, Params, PyTree

LossFn = Callable[[Params, Key, PyTree], Array]
"""loss(params, key, batch) -> one number per example, [B]."""
Step = Callable[[Any, Key, PyTree], tuple[Any, dict[str, Array]]]
"""step(state, key, batch) -> (state, metrics) of a `TrainState`, or of another state that has its step and ema."""


def train_step(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, beta: Callable[[Array], Array], rounds: int = 1
) -> Step:
    """Build a step that minimises the mean loss and moves the average.

    params <- params + optimizer(gradient of mean loss);  ema <- params + beta(step) (ema - params)

    Randomness is fold_in(key, state.step), so that a resumed run draws what an unbroken one draws. A step whose loss,
    gradient or update is not finite changes nothing but the count; its metrics show it, and the loop stops on them.

    Args:
      loss_fn: per-example losses.
      optimizer: of optax.
      beta: decay of the average as a function of the step, from `ema.decay`.
      rounds: gradient accumulation, as by `accumulate`; each part has a key of its own, since losses draw for the
        examples that they are given: another number of rounds draws other noise.
    Returns: step(state, key, batch) -> (state, {"loss": [], "grad_norm": [], "update_norm": []}), pure.
    Example:
      >>> from jaxdiff.train.state import create
      >>> optimizer = optax.sgd(0.5)
      >>> step = train_step(lambda w, key, x: (w - x) ** 2, optimizer, lambda step: jnp.array(0.0))
      >>> state, metrics = step(create(jnp.array(0.0), optimizer), jax.random.key(0), jnp.ones(4))
      >>> state.params.item(), metrics["loss"].item()
      (1.0, 1.0)
    """

    def mean_loss(params: Params, key: Key, batch: PyTree) -> Array:
        return jnp.mean(loss_fn(fully_sharded.all_gather(params), key, batch))

    def step(state: TrainState, key: Key, batch: PyTree) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(key, state.step)
        keys = key[None] if rounds == 1 else jax.random.split(key, rounds)
        of_part = lambda i, part: jax.value_and_grad(mean_loss)(state.params, keys[i], part)  # noqa: E731
        loss, grads = accumulate(of_part, batch, rounds)
        return apply_gradients(state, loss, grads, optimizer, beta)

    return step


def apply_gradients(
    state: TrainState,
    loss: Array,
    grads: Params,
    optimizer: optax.GradientTransformation,
    beta: Callable[[Array], Array],
) -> tuple[TrainState, dict[str, Array]]:
    """Update the state by a gradient, unless the loss, the gradient or the update is not finite.

    Args:
      state: before the step.
      loss: []; grads: of the shapes of state.params.
      optimizer, beta: as for `train_step`.
    Returns: (state, metrics) of `train_step`.
    Example:
      >>> from jaxdiff.train.state import create
      >>> sgd, beta = optax.sgd(0.5), lambda step: jnp.array(0.0)
      >>> states = [apply_gradients(create(jnp.array(1.0), sgd), jnp.array(loss), jnp.array(1.0), sgd, beta)[0]
      ...           for loss in (3.0, jnp.nan)]
      >>> [(state.step.item(), state.params.item()) for state in states]
      [(1, 0.5), (1, 1.0)]
    """
    grad_norm = fully_sharded.global_norm(grads)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    after = (params, opt_state, ema.update(state.ema, params, beta(state.step)))
    update_norm = fully_sharded.global_norm(updates)  # a learning rate that is NaN shows here only
    metrics = {"loss": loss, "grad_norm": grad_norm, "update_norm": update_norm}
    return TrainState(state.step + 1, *where_finite(metrics, after, tuple(state[1:]))), metrics


def where_finite(metrics: dict[str, Array], new: PyTree, old: PyTree) -> PyTree:
    """Choose `new` where all metrics are finite, else `old`.

    Not optax.apply_if_finite: that sees the gradient alone, not the loss, a learning rate of NaN or the average, keeps
    counts in the optimiser's state, and gives in after so many errors, where `fit` stops at the first.

    Args:
      metrics: numbers [] by name.
      new, old: pytrees of the same shapes.
    Example:
      >>> where_finite({"loss": jnp.array(jnp.inf)}, jnp.array(2.0), jnp.array(1.0)).item()
      1.0
    """
    finite = jnp.all(jnp.isfinite(jnp.stack(list(metrics.values()))))
    return jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, old)


def accumulate(of: Callable[[Any, PyTree], PyTree], batch: PyTree, rounds: int) -> PyTree:
    """Compute the mean of of(i, part i) over parts of a batch, one after another: the memory of a part for all.

    By optax.microbatch, which takes as part i every rounds-th example from the i-th on, so that each device takes it
    from its own examples. Not optax.MultiSteps: it is a step a part, so that it moves the average and counts a step at
    each, draws its metrics over a part, and keeps a sum as large as the parameters in the optimiser's state.

    Args:
      of: (i, part) -> a pytree of floats, means over the part; i = 0 .. rounds - 1.
      batch: pytree of [B, ...].
      rounds: >= 1; 1 calls `of` without a loop, inside which XLA's CPU backend is slow.
    Raises: ValueError when it does not divide B.
    Example:
      >>> accumulate(lambda i, part: jnp.mean(part), jnp.arange(6.0), 3).item()
      2.5
    """
    if rounds == 1:
        return of(0, batch)
    size = part_size(batch, rounds)
    index = jnp.tile(jnp.arange(rounds), size)  # in the order of the parts' examples
    mean = optax.microbatching.AccumulationType.MEAN
    return optax.microbatch(lambda index, part: of(index[0], part), (0, 1), size, mean)(index, batch)


def part_size(batch: PyTree, rounds: int) -> int:
    """Count the examples of each of `rounds` parts of a batch.

    Args:
      batch: pytree of [B, ...].
      rounds: >= 1.
    Raises: ValueError when rounds does not divide B.
    Example:
      >>> part_size({"image": jnp.zeros((6, 2))}, 3)
      2
    """
    num = jax.tree.leaves(batch)[0].shape[0]
    if rounds < 1 or num % rounds:
        raise ValueError(f"{rounds} rounds of accumulation must divide the batch, got {num} examples")
    return num // rounds


def scan_steps(step: Step) -> Step:
    """Repeat `step` over batches stacked on a new first axis, [k, B, ...]: k steps in one dispatch; metrics are [k].

    A single batch runs without a loop: XLA's CPU backend computes gradients of convolutions far slower inside one.

    Example:
      >>> total = scan_steps(lambda state, key, batch: (state + batch.sum(), {"loss": batch.mean()}))
      >>> state, metrics = total(jnp.array(0.0), jax.random.key(0), jnp.ones((3, 4)))
      >>> state.item(), metrics["loss"].shape
      (12.0, (3,))
    """

    def run(state: TrainState, key: Key, batches: PyTree) -> tuple[TrainState, dict[str, Array]]:
        if jax.tree.leaves(batches)[0].shape[0] == 1:
            state, metrics = step(state, key, jax.tree.map(lambda a: a[0], batches))
            return state, jax.tree.map(lambda a: a[None], metrics)
        return jax.lax.scan(lambda state, batch: step(state, key, batch), state, batches)

    return run
