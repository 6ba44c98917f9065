"""What `sample` finds wrong with its arguments before it runs, each in one line that says what to do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff import grids, keys
from jaxdiff.types import Array, ArrayLike, Batch, Key, Noise, checked, state_type


def levels(sigmas: ArrayLike, x: Batch) -> Array:
    """A grid in the type of the state x; its values are checked in that type, unless it is traced."""
    if isinstance(sigmas, jax.core.Tracer):
        grids.check_shape(sigmas.shape)
        return sigmas.astype(x.dtype)
    return jnp.asarray(grids.check(sigmas, x.dtype), x.dtype)


def asked(model: Callable[..., Any], counts: tuple[int, ...] = (1,)) -> Callable[..., Any]:
    """The model, whose outputs are checked when it is traced, and have the type of the state x that it is asked."""

    exact = checked(model, counts=counts)
    return lambda x, *inputs: jax.tree.map(lambda a: a.astype(x.dtype), exact(x, *inputs))


def arguments(sampler: Any, denoise: Any, x: Any) -> None:
    """Raise ValueError, saying what to do, unless each is what `sample` takes in its place."""
    order = "the order is (sampler, denoise, x, sigmas)"
    if not all(hasattr(sampler, part) for part in ("init", "draw", "step", "outputs")):
        raise ValueError(f"sampler must be made by its constructor, such as heun(), got {_named(sampler)}; {order}")
    if not callable(denoise):
        raise ValueError(f"denoise must be a function of (x, sigma), got {_named(denoise)}; {order}")
    if not hasattr(x, "dtype") or not jnp.issubdtype(state_type(x), jnp.floating):
        raise ValueError(f"x must be an array of real numbers, got {_named(x)}; {order}")
    if x.ndim < 1:
        raise ValueError("x must have a leading batch axis, got a scalar")


def draws(
    draw: Callable[[Key, Array], Noise], x: Batch, num_steps: int, key: Key | None, noise: Noise | None
) -> Key | None:
    """One key an example, or None when nothing is to be drawn; ValueError when it is not clear what to draw."""
    example = jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    shapes = jax.tree.leaves(jax.eval_shape(draw, keys.of_seed(0), example))
    if not shapes:
        return None
    if (key is None) == (noise is None):
        given = "neither" if key is None else "both"
        raise ValueError(f"a stochastic sampler needs either key= or noise=, got {given}")
    if key is None:
        expected = [(num_steps, x.shape[0], *s.shape) for s in shapes]
        found = [jnp.shape(leaf) for leaf in jax.tree.leaves(noise)]
        if found != expected:
            raise ValueError(f"noise must be stacked over steps and examples as {expected}, got {found}")
        return None
    if not hasattr(key, "dtype"):
        raise ValueError(f"key must be made by jax.random.key, got {_named(key)}")
    key = keys.named(key)
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(x.shape[0]))
    if key.shape != (x.shape[0],):
        raise ValueError(f"key must be one key or one an example, [{x.shape[0]}], got shape {list(key.shape)}")
    return key


def _named(value: Any) -> str:
    """A value in an error line."""
    if hasattr(value, "dtype"):
        return f"{value.dtype} {list(value.shape)}"
    return repr(value) if isinstance(value, int | float) else getattr(value, "__name__", f"a {type(value).__name__}")
