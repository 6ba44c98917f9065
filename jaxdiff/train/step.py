"""One pure training step, and several of them in one dispatch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdiff.train import ema, sharding
from jaxdiff.train.state import TrainState
from jaxdiff.types import Array, Key, Params, PyTree

LossFn = Callable[[Params, Key, PyTree], Array]
"""loss(params, key, batch) -> one number per example, [B]."""
Step = Callable[[Any, Key, PyTree], tuple[Any, dict[str, Array]]]
"""step(state, key, batch) -> (state, metrics) of a `TrainState`, or of another state that has its step and ema."""


def train_step(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, beta: Callable[[Array], Array], rounds: int = 1
) -> Step:
    """A step that minimises the mean loss and moves the average.

    Randomness is fold_in(key, state.step), so that a resumed run draws what an unbroken one draws. A step whose loss,
    gradient or update is not finite changes nothing but the count; its metrics show it, and the loop stops on them.

    Args:
      loss_fn: per-example losses.
      optimizer: of optax.
      beta: decay of the average as a function of the step, from `ema.decay`.
      rounds: gradient accumulation, as by `in_rounds`; each part has a key of its own, since losses draw for the
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
        return jnp.mean(loss_fn(sharding.gathered(params), key, batch))

    def gradient(params: Params, key: Key, batch: PyTree) -> tuple[Array, Params]:
        keys = key[None] if rounds == 1 else jax.random.split(key, rounds)
        of_part = lambda part: jax.value_and_grad(mean_loss)(params, part[0][0], part[1])  # noqa: E731
        return in_rounds(of_part, (keys, batch), rounds)

    def step(state: TrainState, key: Key, batch: PyTree) -> tuple[TrainState, dict[str, Array]]:
        loss, grads = gradient(state.params, jax.random.fold_in(key, state.step), batch)
        return moved(state, loss, grads, optimizer, beta)

    return step


def moved(
    state: TrainState,
    loss: Array,
    grads: Params,
    optimizer: optax.GradientTransformation,
    beta: Callable[[Array], Array],
) -> tuple[TrainState, dict[str, Array]]:
    """The state after an update by `grads`, and the metrics of `train_step`; the same state where one is not finite."""
    grad_norm = sharding.global_norm(grads)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    after = (params, opt_state, ema.update(state.ema, params, beta(state.step)))
    update_norm = sharding.global_norm(updates)  # a learning rate that is NaN shows here only
    metrics = {"loss": loss, "grad_norm": grad_norm, "update_norm": update_norm}
    return TrainState(state.step + 1, *if_finite(metrics, after, tuple(state[1:]))), metrics


def if_finite(metrics: dict[str, Array], new: PyTree, old: PyTree) -> PyTree:
    """`new` where all metrics are finite, else `old`."""
    finite = jnp.all(jnp.isfinite(jnp.stack(list(metrics.values()))))
    return jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, old)


def in_rounds(of: Callable[[PyTree], PyTree], batch: PyTree, rounds: int) -> PyTree:
    """Mean of of(part) over `rounds` parts of a batch, one after another: the memory of a part for the sum of all.

    Part i is every rounds-th example from the i-th on, so that each device takes it from its own examples.

    Args:
      of: part -> a pytree of means over the part.
      batch: pytree of [B, ...]; of a leaf [rounds], such as keys, each part has one.
      rounds: >= 1.
    Raises: ValueError when it does not divide B.
    Example:
      >>> in_rounds(jnp.mean, jnp.arange(6.0), 3).item()
      2.5
    """
    if rounds == 1:
        return of(batch)
    parts = parts_of(batch, rounds)
    shapes = jax.eval_shape(of, jax.tree.map(lambda a: a[0], parts))
    zero = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    total, _ = jax.lax.scan(lambda total, part: (jax.tree.map(jnp.add, total, of(part)), None), zero, parts)
    return jax.tree.map(lambda a: a / rounds, total)


def parts_of(batch: PyTree, rounds: int) -> PyTree:
    """[rounds, B / rounds, ...] of [B, ...]: part i is every rounds-th example from the i-th on.

    Raises: ValueError when rounds does not divide B.
    """
    for leaf in jax.tree.leaves(batch):
        if rounds < 1 or leaf.shape[0] % rounds:
            raise ValueError(f"{rounds} rounds of accumulation must divide the batch, got {leaf.shape[0]} examples")
    return jax.tree.map(lambda a: a.reshape(-1, rounds, *a.shape[1:]).swapaxes(0, 1), batch)


def many_steps(step: Step) -> Step:
    """`step` over batches stacked on a new first axis, [k, B, ...]: k steps in one dispatch; metrics are [k].

    A single batch runs without a loop: XLA's CPU backend computes gradients of convolutions 50 times slower inside one.
    """

    def run(state: TrainState, key: Key, batches: PyTree) -> tuple[TrainState, dict[str, Array]]:
        if jax.tree.leaves(batches)[0].shape[0] == 1:
            state, metrics = step(state, key, jax.tree.map(lambda a: a[0], batches))
            return state, jax.tree.map(lambda a: a[None], metrics)
        return jax.lax.scan(lambda state, batch: step(state, key, batch), state, batches)

    return run
