"""What a sampler is, and the one loop that drives them all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff import grids
from jaxdiff.samplers import checks
from jaxdiff.types import Array, ArrayLike, Batch, Key, Noise, PyTree, expand, state_type

Carry = PyTree
Model = Callable[..., Batch]
"""What a step asks: a Denoiser for nearly all of them, an X0Sampler for DDGAN's."""


class Level(NamedTuple):
    """Where a step starts and ends; `num_steps` is static, the rest are scalars of the loop."""

    index: Array  # type: ignore[assignment]  # hides tuple.index
    sigma: Array
    sigma_next: Array
    num_steps: int


class Sampler(NamedTuple):
    """An update rule for `sample`, made of pure functions as optax makes optimisers.

    init(x) -> carry: what the method remembers between steps; () for one-step methods.
    draw(key, x) -> noise: for ONE example x [...], the noise of one step; () where the method is deterministic.
    step(denoise, x, carry, level, noise) -> (x, carry): from level.sigma to level.sigma_next, x [B, ...].
    outputs: how many arrays the model may return: 1, and 2 where the variance may be learned, as `ancestral` has it.
    """

    init: Callable[[Batch], Carry]
    draw: Callable[[Key, Array], Noise]
    step: Callable[[Model, Batch, Carry, Level, Noise], tuple[Batch, Carry]]
    outputs: tuple[int, ...] = (1,)


def memoryless(x: Batch) -> Carry:
    """Start with nothing to remember: `init` of a one-step method.

    Example:
      >>> memoryless(jnp.ones((1, 2)))
      ()
    """
    return ()


def noiseless(key: Key, x: Array) -> Noise:
    """Draw nothing: `draw` of a deterministic method.

    Args:
      key: a PRNG key; x: one example.
    Example:
      >>> noiseless(jax.random.key(0), jnp.ones(2))
      ()
    """
    return ()


def gaussian(key: Key, x: Array) -> Noise:
    """Draw one standard normal of the shape of x: `draw` of most stochastic methods.

    Args:
      key: a PRNG key; x: one example [...].
    Example:
      >>> gaussian(jax.random.key(0), jnp.ones(2, jnp.bfloat16)).dtype.name
      'bfloat16'
    """
    return jax.random.normal(key, x.shape, x.dtype)


def affine_step(x: Batch, x0_hat: Batch, a: ArrayLike, b: ArrayLike = 0.0, z: ArrayLike = 0.0) -> Batch:
    """Step x' = x0_hat + a * (x - x0_hat) + b * z, the affine step that most samplers are.

    Args:
      x, x0_hat: [B, ...]; a, b: [] or [B].
      z: noise [B, ...].
    Returns: [B, ...].
    Example: Euler's step from 2 to 1
      >>> affine_step(jnp.array([[2.0]]), jnp.array([[1.0]]), 1.0 / 2.0).item()
      1.5
    """
    return x0_hat + expand(a, x) * (x - x0_hat) + expand(b, x) * z


def sample(
    sampler: Sampler,
    denoise: Model,
    x: Batch,
    sigmas: grids.Grid,
    *,
    key: Key | None = None,
    noise: Noise | None = None,
) -> Batch:
    """Run a sampler down a grid of levels.

    Args:
      sampler: `euler()`, `heun()`, ... or one of your own.
      denoise: D(x, sigma) -> E[x0 | x]; any callable of x [B, ...] and a scalar sigma, or what else the sampler asks.
      x: start, [B, ...], at level sigmas[0]: usually sigmas[0] * n with n ~ N(0, I).
      sigmas: n + 1 decreasing levels in data units, as the functions of `jaxdiff.grids` make them. Of a traced grid
        only the shape can be checked: its steps between equal levels do nothing, and one upwards or below 0 makes nan.
      key: for stochastic samplers; one key, folded with each example's index, or [B] keys, one an example.
        Image i depends on its own key only: not on the batch size, the devices, the other images or JAX's generator.
      noise: instead of a key, stored draws to replay, stacked over steps: leaves [n, B, ...].
    Returns: [B, ...] at level sigmas[-1], float32 (float64 where x is).
    Raises: ValueError when the grid does not decrease in the type of the state, x has no batch axis, the arguments are
      no sampler and no function, the denoiser returns anything but floats of the shape of x, or a stochastic sampler
      is given neither key nor noise (or both).
    Example: the exact denoiser of N(0, I), whose trajectories are x(sigma) = x0 sqrt(1 + sigma^2)
      >>> from jaxdiff import grids
      >>> from jaxdiff.samplers import heun, sample
      >>> x = jnp.full((1, 2), 6401**0.5)  # at sigma = 80
      >>> x0 = sample(heun(), lambda x, sigma: x / (1 + sigma**2), x, grids.karras(18))
      >>> bool(jnp.allclose(x0, 1, atol=0.05))
      True
    """
    x, _ = _drive(sampler, denoise, x, sigmas, key, noise, record=lambda x: ())
    return x


def trajectory(
    sampler: Sampler,
    denoise: Model,
    x: Batch,
    sigmas: grids.Grid,
    *,
    key: Key | None = None,
    noise: Noise | None = None,
) -> tuple[Batch, Batch]:
    """Run a sampler as `sample` does and return the state at every level too.

    The end is what `sample` returns, bit for bit on CPUs (tested): both loops run the same step, which an optimisation
    barrier keeps apart from the recording, so that XLA cannot fuse, and then round, one of them otherwise.

    Args: as `sample`.
    Returns: (x, xs): the end [B, ...] and all states [n + 1, B, ...], where xs[i] is at sigmas[i] and xs[-1] is x.
    Example: towards a single data point, 0, x falls with sigma
      >>> from jaxdiff.samplers import euler, trajectory
      >>> x, xs = trajectory(euler(), lambda x, sigma: 0 * x, jnp.ones((1, 1)), jnp.array([4.0, 2.0, 1.0, 0.0]))
      >>> xs.ravel().tolist()
      [1.0, 0.5, 0.25, 0.0]
    """
    end, xs = _drive(sampler, denoise, x, sigmas, key, noise, record=lambda x: x)
    return end, jnp.concatenate([x.astype(end.dtype)[None], xs])


def _drive(
    sampler: Sampler,
    denoise: Model,
    x: Batch,
    sigmas: grids.Grid,
    key: Key | None,
    noise: Noise | None,
    record: Callable[[Batch], Any],
) -> tuple[Batch, Any]:
    """lax.scan over levels: one compiled step, memory independent of the number of steps."""
    checks.check_arguments(sampler, denoise, x)
    x = x.astype(state_type(x))
    levels, on_host = checks.cast_grid(sigmas, x), not isinstance(sigmas, jax.core.Tracer)
    num_steps = levels.shape[0] - 1
    keys, replayed = checks.keys_or_noise(sampler.draw, x, num_steps, key, noise)
    model = checks.cast_outputs(denoise, sampler.outputs)

    def step(state: tuple[Batch, Carry], level: tuple) -> tuple[Batch, Carry]:
        index, sigma, sigma_next, noise = level
        noise = noise if keys is None else jax.vmap(_draw_step, (None, 0, None, 0))(sampler, keys, index, state[0])
        return sampler.step(model, *state, Level(index, sigma, sigma_next, num_steps), noise)

    def checked_step(state: tuple[Batch, Carry], level: tuple) -> tuple[Batch, Carry]:
        _, sigma, sigma_next, _ = level
        x, carry = jax.lax.cond(sigma_next < sigma, step, lambda state, level: state, state, level)
        return jnp.where((sigma_next <= sigma) & (sigma_next >= 0), x, jnp.nan), carry

    def body(state: tuple[Batch, Carry], level: tuple) -> tuple[tuple[Batch, Carry], Any]:
        stepped = (step if on_host else checked_step)(state, level)
        x, carry = jax.lax.optimization_barrier(stepped)  # one step, whether it is recorded or not
        return (x, carry), record(x)

    steps = (jnp.arange(num_steps), levels[:-1], levels[1:], replayed)
    (x, _), recorded = jax.lax.scan(body, (x, sampler.init(x)), steps)
    return x, recorded


def _draw_step(sampler: Sampler, key: Key, index: Array, x: Array) -> Noise:
    return sampler.draw(jax.random.fold_in(key, index), x)
