"""Checks of the arguments of `sample` before it runs; each failure is one line that says what to do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff import grids, keys
from jaxdiff.types import Array, ArrayLike, Batch, Key, Noise, check_outputs, state_type


def cast_grid(sigmas: ArrayLike, x: Batch) -> Array:
    """Cast a grid to the type of the state x; its values are checked in that type, unless it is traced.

    Args:
      sigmas: [n + 1]; x: the state.
    Raises: ValueError as `grids.check`.
    Example:
      >>> cast_grid([1.0, 0.0], jnp.ones(1)).tolist()
      [1.0, 0.0]
    """
    if isinstance(sigmas, jax.core.Tracer):
        grids.check_shape(sigmas.shape)
        return sigmas.astype(x.dtype)
    return jnp.asarray(grids.check(sigmas, x.dtype), x.dtype)


def cast_outputs(model: Callable[..., Any], counts: tuple[int, ...] = (1,)) -> Callable[..., Any]:
    """Wrap a model: its outputs are checked when it is traced, and cast to the type of x.

    Args:
      model: (x, ...) -> [B, ...], or several such arrays.
      counts: how many are allowed, as for `types.check_outputs`.
    Example:
      >>> cast_outputs(lambda x: x.astype(jnp.bfloat16))(jnp.ones(1)).dtype.name
      'float32'
    """
    checked = check_outputs(model, counts=counts)
    return lambda x, *inputs: jax.tree.map(lambda a: a.astype(x.dtype), checked(x, *inputs))


def check_arguments(sampler: Any, denoise: Any, x: Any) -> None:
    """Raise ValueError, saying what to do, unless each is what `sample` takes at that position.

    Args:
      sampler, denoise, x: the first three arguments of `sample`.
    Raises: ValueError naming the argument, what it is and the order.
    Example:
      >>> from jaxdiff.samplers import euler
      >>> check_arguments(euler(), 3, jnp.ones(1))
      Traceback (most recent call last):
      ValueError: denoise must be a function of (x, sigma), got 3; the order is (sampler, denoise, x, sigmas)
    """
    order = "the order is (sampler, denoise, x, sigmas)"
    if not all(hasattr(sampler, part) for part in ("init", "draw", "step", "outputs")):
        raise ValueError(f"sampler must be made by its constructor, such as heun(), got {_named(sampler)}; {order}")
    if not callable(denoise):
        raise ValueError(f"denoise must be a function of (x, sigma), got {_named(denoise)}; {order}")
    if not hasattr(x, "dtype") or not jnp.issubdtype(state_type(x), jnp.floating):
        raise ValueError(f"x must be an array of real numbers, got {_named(x)}; {order}")
    if x.ndim < 1:
        raise ValueError("x must have a leading batch axis, got a scalar")


def keys_or_noise(
    draw: Callable[[Key, Array], Noise], x: Batch, num_steps: int, key: Key | None, noise: Noise | None
) -> tuple[Key | None, Noise]:
    """Return (one key an example, nothing to replay) or (None, the noise to replay, empty where nothing is drawn).

    Args:
      draw: of the sampler; x: the state [B, ...]; num_steps: of the grid.
      key, noise: as given to `sample`.
    Raises: ValueError unless exactly one of key and noise is given to a stochastic sampler, and fits.
    Example:
      >>> keys_or_noise(lambda key, x: (), jnp.ones((2, 1)), 3, None, None)
      (None, ())
    """
    example = jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    empty = jax.eval_shape(draw, keys.from_seed(0), example)
    shapes = jax.tree.leaves(empty)
    if not shapes:
        return None, empty
    if (key is None) == (noise is None):
        given = "neither" if key is None else "both"
        raise ValueError(f"a stochastic sampler needs either key= or noise=, got {given}")
    if key is None:
        expected = [(num_steps, x.shape[0], *s.shape) for s in shapes]
        found = [jnp.shape(leaf) for leaf in jax.tree.leaves(noise)]
        if found != expected:
            raise ValueError(f"noise must be stacked over steps and examples as {expected}, got {found}")
        return None, noise
    if not hasattr(key, "dtype"):
        raise ValueError(f"key must be made by jax.random.key, got {_named(key)}")
    key = keys.as_threefry(key)
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(x.shape[0])), ()
    if key.shape != (x.shape[0],):
        raise ValueError(f"key must be one key or one an example, [{x.shape[0]}], got shape {list(key.shape)}")
    return key, ()


def _named(value: Any) -> str:
    """A value in an error line."""
    if hasattr(value, "dtype"):
        return f"{value.dtype} {list(value.shape)}"
    return repr(value) if isinstance(value, int | float) else getattr(value, "__name__", f"a {type(value).__name__}")
