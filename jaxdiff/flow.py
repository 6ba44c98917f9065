"""The probability-flow ODE solved adaptively, and the exact likelihood that it gives.

    dx/dt = f(t) x - g(t)^2 score(x, t) / 2 = v(x, t)
    log p_0(x(0)) = log p_1(x(1)) + int_0^1 div v(x(t), t) dt

Steps are those of diffrax, chosen for every example alone: an example's result does not depend on its batch, and the
batch takes as long as its hardest example. Scores are only ever asked of whole batches, each example at its own time.
Reference: Song et al. 2021, section 4.3 and Appendix D.2; Chen et al. 2018; Grathwohl et al. 2019.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import sde as sdes
from jaxdiff.samplers.base import Carry, Level, Sampler, memoryless, noiseless
from jaxdiff.sde import SDE
from jaxdiff.types import Array, Batch, Denoiser, Float, Noise, checked, expand

Score = Callable[[Batch, Array], Batch]
"""score(x, t) in native coordinates, x [B, ...], t [] or [B]."""
Divergence = Callable[[Callable[[Array], Array], Array, Array], tuple[Array, Array]]
"""divergence(field, x, probes) -> (field(x) [B, ...], its divergence [B]); probes [B, K, ...]."""


class SolverStopped(RuntimeError):
    """The solver met its limit of steps before the end."""


class Solution(NamedTuple):
    """x at the end [B, ...]; evaluations of the score per example [B]; whether each example got there [B]."""

    x: Batch
    num_evaluations: Array
    solved: Array


class Likelihood(NamedTuple):
    """log_prob = prior + change, in nats [B]; z [B, ...] at t = 1; as `Solution` the rest."""

    log_prob: Float[Array, " B"]
    prior: Float[Array, " B"]
    change: Float[Array, " B"]
    z: Batch
    num_evaluations: Array
    solved: Array


class Tolerance(NamedTuple):
    """rtol, atol of every number of an example; max_steps, accepted and rejected; the solver of diffrax."""

    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 4096
    solver: diffrax.AbstractSolver = diffrax.Dopri5()


def solve(sde: SDE, score: Score, x: Batch, t0: float, t1: float, tolerance: Tolerance = Tolerance()) -> Solution:
    """x(t1) from x(t0) along the probability flow: from noise to data with t0 = 1, or the other way.

    Args:
      sde: from `jaxdiff.sde`.
      score: of a trained network (`sde.score`), or exact.
      x: [B, ...] in native coordinates at t0.
      t0, t1: in (0, 1].
      tolerance: of the solver.
    Returns: a Solution. Outside jit an example that met the limit of steps is an error; inside, look at `solved`.
    Raises: ValueError for times outside (0, 1], or tolerances that the type of x cannot meet; SolverStopped.
    Reference: Song et al. 2021, Appendix D.2 and D.3, who take scipy's RK45 at 1e-5 for the whole batch at once.
    Example: data ~ N(0, 1) do not move under VP
      >>> found = solve(sdes.vp(), lambda x, t: -x, jnp.ones((1, 2)), 1.0, 1e-3)
      >>> [round(value, 3) for value in found.x[0].tolist()]
      [1.0, 1.0]
    """
    _check(x, t0, t1, tolerance)

    field = lambda t, x: drift(sde, score, x, t)  # noqa: E731
    return check_solved(Solution(*_integrate(field, x, t0, t1, tolerance)))


def log_likelihood(
    sde: SDE,
    score: Score,
    x: Batch,
    divergence: Divergence,
    probes: Array | None = None,
    epsilon: float = 1e-5,
    tolerance: Tolerance = Tolerance(),
) -> Likelihood:
    """log p(x) in nats along the flow from t = epsilon to the prior at t = 1.

    Args:
      sde, score, tolerance: as `solve`.
      x: data [B, ...] at t = epsilon.
      divergence: `exact`, or `hutchinson` with probes.
      probes: [B, K, ...], K random directions an example with E[v v^T] = I: Rademacher or Gaussian.
      epsilon: start, in (0, 1).
    Returns: a Likelihood; Hutchinson's is unbiased in `change`, its error falls as 1 / sqrt(K).
    Raises: as `solve`; ValueError when the probes have another shape, or the score draws random numbers.
    Reference: Song et al. 2021, Eq. 39 and 40; Skilling 1989; Hutchinson 1990.
    Example:
      >>> found = log_likelihood(sdes.vp(), lambda x, t: -x, jnp.zeros((1, 2)), exact)
      >>> round(found.log_prob.item(), 3)
      -1.838
    """
    _check(x, epsilon, 1.0, tolerance)
    _check_deterministic(score, x)
    probes = jnp.zeros((x.shape[0], 0)) if probes is None else probes
    if divergence is hutchinson and (probes.ndim != x.ndim + 1 or probes.shape[2:] != x.shape[1:]):
        raise ValueError(f"probes must be {['B', 'K', *x.shape[1:]]} for x {list(x.shape)}, got {list(probes.shape)}")

    def field(t: Array, state: tuple[Batch, Array]) -> tuple[Batch, Array]:
        return divergence(lambda x: drift(sde, score, x, t), state[0], probes)

    start = x, jnp.zeros(x.shape[0], x.dtype)
    (z, change), evaluations, solved = _integrate(field, start, epsilon, 1.0, tolerance)
    prior = prior_log_prob(sde, z)
    return check_solved(Likelihood(prior + change, prior, change, z, evaluations, solved))


def prior_log_prob(sde: SDE, z: Batch) -> Float[Array, " B"]:
    """log N(z; 0, prior_std^2 I) in nats, [B].

    Example:
      >>> round(prior_log_prob(sdes.vp(), jnp.zeros((1, 2))).item(), 4)
      -1.8379
    """
    size = z[0].size
    squares = jnp.sum(z**2, axis=tuple(range(1, z.ndim)))
    return -0.5 * (size * np.log(2 * np.pi * sde.prior_std**2) + squares / sde.prior_std**2)


def adaptive(sde: SDE, tolerance: Tolerance = Tolerance()) -> Sampler:
    """The probability flow between two levels of a grid, adaptively; into sigma = 0 the denoised image.

    Args:
      sde: along whose time the steps are chosen; any SDE will do for any denoiser, `sde.ve` in the library's own
        coordinates.
    Returns: a deterministic Sampler, usually for the grid [sigma(1), sigma(epsilon), 0], which is `sde.grid(sde, 2)`.
      An example that met the limit of steps becomes NaN, as under jit nothing can be raised.
    Example:
      >>> from jaxdiff.samplers import sample
      >>> vp = sdes.vp()
      >>> x = sdes.grid(vp, 2)[0] * jax.random.normal(jax.random.key(0), (4, 2))
      >>> sample(adaptive(vp), lambda x, sigma: x / (1 + expand(sigma, x) ** 2), x, sdes.grid(vp, 2)).shape
      (4, 2)
    """

    def step(denoise: Denoiser, x: Batch, carry: Carry, level: Level, noise: Noise) -> tuple[Batch, Carry]:
        def solve(x: Batch) -> Batch:
            t0, t1 = sde.time(level.sigma), sde.time(level.sigma_next)
            field = lambda t, x: drift(sde, lambda x, t: sdes.score(sde, denoise, x, t), x, t)  # noqa: E731
            found, _, solved = _integrate(field, sde.a(t0) * x, t0, t1, tolerance)
            return jnp.where(expand(solved, x), found / sde.a(t1), jnp.nan)

        return jax.lax.cond(level.sigma_next == 0, lambda x: denoise(x, level.sigma), solve, x), carry

    return Sampler(memoryless, noiseless, step)


def drift(sde: SDE, score: Score, x: Batch, t: Array) -> Batch:
    """v(x, t); t is [] or [B]."""
    return sdes.reverse_drift(sde, checked(score, "score")(x, t), x, t, share=0.5)


def exact(field: Callable[[Batch], Batch], x: Batch, probes: Array) -> tuple[Batch, Float[Array, " B"]]:
    """The trace of the Jacobian, one derivative a number: for a few dimensions."""
    size = x[0].size
    basis = jnp.eye(size, dtype=x.dtype).reshape(1, size, *x.shape[1:])
    value, traces = hutchinson(field, x, jnp.broadcast_to(basis, (x.shape[0], *basis.shape[1:])))
    return value, traces * size


def hutchinson(field: Callable[[Batch], Batch], x: Batch, probes: Array) -> tuple[Batch, Float[Array, " B"]]:
    """mean over K probes of v^T J v, an unbiased estimate of the trace."""
    value, push = jax.linearize(field, x)
    products = jax.vmap(push, in_axes=1, out_axes=1)(probes) * probes
    return value, jnp.sum(products, axis=tuple(range(1, probes.ndim))) / probes.shape[1]


def _integrate(field: Any, y: Any, t0: Any, t1: Any, tolerance: Tolerance) -> tuple[Any, Array, Array]:
    """(y at t1, evaluations [B], whether it got there [B]); field(t [B], y) is of a whole batch, as y is."""

    size = jax.tree.leaves(y)[0].shape[0]
    # A batching rule may not close over tracers, such as parameters under jit: they become arguments.
    converted = eqx.filter_closure_convert(field, jnp.zeros(size, jax.tree.leaves(y)[0].dtype), y)
    arrays, program = eqx.partition(converted, eqx.is_array)

    @jax.custom_batching.custom_vmap
    def one(t: Array, y: Any, arrays: Any) -> Any:
        return y  # only for its shape: what is called is always the whole batch's

    @one.def_vmap
    def batch(size: int, batched: Any, t: Array, y: Any, arrays: Any) -> tuple[Any, Any]:
        return eqx.combine(arrays, program)(jnp.broadcast_to(t, size), y), jax.tree.map(lambda a: True, y)

    def solve(y: Any) -> Any:
        return diffrax.diffeqsolve(
            diffrax.ODETerm(one), tolerance.solver, t0, t1, None, y, args=arrays,
            stepsize_controller=diffrax.PIDController(rtol=tolerance.rtol, atol=tolerance.atol),
            max_steps=tolerance.max_steps, throw=False,
        )  # fmt: skip

    found = jax.vmap(solve)(y)
    stages = int(getattr(tolerance.solver, "tableau").num_stages)  # noqa: B009  # not declared on every solver
    # The last stage of a step is the first of the next in these solvers.
    evaluations = found.stats["num_steps"] * (stages - 1) + 1
    return jax.tree.map(lambda a: a[:, -1], found.ys), evaluations, found.result == diffrax.RESULTS.successful


def check_tolerance(tolerance: Tolerance, dtype: Any) -> None:
    """Raise ValueError, with what is attainable, for tolerances that a type of numbers cannot meet."""
    attainable = 10 * float(jnp.finfo(dtype).eps)
    for name in ("rtol", "atol"):
        if not getattr(tolerance, name) >= attainable:
            raise ValueError(
                f"{name}={getattr(tolerance, name)} is below what {np.dtype(dtype)} can meet: "
                f"ask for {attainable:.1e} or more"
            )


def _check(x: Batch, t0: float, t1: float, tolerance: Tolerance) -> None:
    if not (0 < t0 <= 1 and 0 < t1 <= 1):
        raise ValueError(f"times must lie in (0, 1], got {t0} and {t1}")
    check_tolerance(tolerance, x.dtype)


def _check_deterministic(score: Score, x: Batch) -> None:
    """A likelihood is that of one function, not of another one at every evaluation."""
    program = str(jax.make_jaxpr(lambda x: score(x, jnp.ones(x.shape[0], x.dtype)))(x))
    if "random_bits" in program or "threefry" in program:
        raise ValueError(
            "the score draws random numbers: is its network in train mode, with dropout on? use train=False"
        )


def check_solved(found: Any) -> Any:
    """A Solution or Likelihood as it is, once it is known that every example got there; under jit nothing is known.

    Raises: SolverStopped naming the examples that met the limit of steps.
    """
    if not isinstance(found.solved, jax.core.Tracer) and not bool(jnp.all(found.solved)):
        stopped = np.flatnonzero(~np.asarray(found.solved)).tolist()
        raise SolverStopped(f"the solver met its limit of steps for examples {stopped[:20]}: raise max_steps or rtol")
    return found
