"""The probability-flow ODE solved adaptively, from noise to data or from data to noise.

    dx/dt = f(t) x - g(t)^2 score(x, t) / 2 = v(x, t)

Steps are those of diffrax, chosen for every example alone: an example's result does not depend on its batch, and the
batch takes as long as its hardest example. Scores are only ever asked of whole batches, each example at its own time.
Reference: Song et al. 2021, section 4.3.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import process
from jaxdiff.imports import needs
from jaxdiff.process.sde import SDE
from jaxdiff.types import Array, Batch, Score, check_outputs

with needs("flow", __name__):
    import diffrax
    import equinox as eqx


class SolverStopped(RuntimeError):
    """The solver met its limit of steps before the end."""


class Solution(NamedTuple):
    """x at the end [B, ...]; evaluations of the score per example [B]; whether each example got there [B]."""

    x: Batch
    num_evaluations: Array
    solved: Array


class Tolerance(NamedTuple):
    """rtol, atol of every number of an example; max_steps, accepted and rejected; the solver of diffrax."""

    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 4096
    solver: diffrax.AbstractSolver = diffrax.Dopri5()


def solve(sde: SDE, score: Score, x: Batch, t0: float, t1: float, tolerance: Tolerance = Tolerance()) -> Solution:
    """Solve the probability flow for x(t1) from x(t0): from noise to data with t0 = 1, or the other way.

    Args:
      sde: from `jaxdiff.process.sde`.
      score: of a network (`precond.score_sde.score`), of a denoiser (`reverse_sde.score`) or exact.
      x: [B, ...] in native coordinates at t0.
      t0, t1: in (0, 1].
      tolerance: of the solver.
    Returns: a Solution. Outside jit an example that met the limit of steps is an error; inside, look at `solved`.
    Raises: ValueError for times outside (0, 1], or tolerances that the type of x cannot meet; SolverStopped.
    Reference: Song et al. 2021, Appendix D.2 and D.3, who take scipy's RK45 at 1e-5 for the whole batch at once.
    Example: data ~ N(0, 1) do not move under VP
      >>> found = solve(process.sde.vp(), lambda x, t: -x, jnp.ones((1, 2)), 1.0, 1e-3)
      >>> [round(value, 3) for value in found.x[0].tolist()]
      [1.0, 1.0]
    """
    check_problem(x, t0, t1, tolerance)
    return check_solved(Solution(*integrate(lambda t, x: drift(sde, score, x, t), x, t0, t1, tolerance)))


def drift(sde: SDE, score: Score, x: Batch, t: Array) -> Batch:
    """Compute the drift of the probability flow, v(x, t) = f(t) x - g(t)^2 score(x, t) / 2.

    Args:
      sde, score: as `solve`; x: [B, ...] in native coordinates; t: [] or [B].
    Returns: [B, ...].
    Example: data ~ N(0, 1) do not move under VP
      >>> bool(jnp.allclose(drift(process.sde.vp(), lambda x, t: -x, jnp.ones((1, 2)), 0.5), 0, atol=1e-5))
      True
    """
    return process.reverse_sde.reverse_drift(sde, check_outputs(score, "score")(x, t), x, t, share=0.5)


def integrate(field: Any, y: Any, t0: Any, t1: Any, tolerance: Tolerance) -> tuple[Any, Array, Array]:
    """Integrate dy/dt = field(t, y) adaptively from t0 to t1, every example with its own steps.

    Args:
      field: of a whole batch and its times, t [B]; y: a pytree of arrays [B, ...].
      t0, t1: scalars; tolerance: of the solver.
    Returns: (y at t1, evaluations of the field [B], whether the example got there [B]).
    Example: dy/dt = -y
      >>> y, _, solved = integrate(lambda t, y: -y, jnp.ones((1, 1)), 0.0, 1.0, Tolerance())
      >>> round(y.item(), 4), solved.tolist()
      (0.3679, [True])
    """
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
    """Raise ValueError, with what is attainable, for tolerances that a type of numbers cannot meet.

    Args:
      tolerance: whose rtol and atol are looked at; dtype: of the state.
    Raises: ValueError naming the first that is below ten times the type's epsilon.
    Example:
      >>> check_tolerance(Tolerance(rtol=1e-9), np.float32)
      Traceback (most recent call last):
      ValueError: rtol=1e-09 is below what float32 can meet: ask for 1.2e-06 or more
    """
    attainable = 10 * float(jnp.finfo(dtype).eps)
    for name in ("rtol", "atol"):
        if not getattr(tolerance, name) >= attainable:
            raise ValueError(
                f"{name}={getattr(tolerance, name)} is below what {np.dtype(dtype)} can meet: "
                f"ask for {attainable:.1e} or more"
            )


def check_problem(x: Batch, t0: float, t1: float, tolerance: Tolerance) -> None:
    """Raise ValueError unless times and tolerances are those of a problem that can be solved.

    Args:
      x: whose type counts; t0, t1: in (0, 1]; tolerance: as for `check_tolerance`.
    Raises: ValueError naming the argument.
    Example:
      >>> check_problem(jnp.ones(1), 0.0, 1.0, Tolerance())
      Traceback (most recent call last):
      ValueError: times must lie in (0, 1], got 0.0 and 1.0
    """
    if not (0 < t0 <= 1 and 0 < t1 <= 1):
        raise ValueError(f"times must lie in (0, 1], got {t0} and {t1}")
    check_tolerance(tolerance, x.dtype)


def check_solved(found: Any) -> Any:
    """Return a Solution or Likelihood as it is if every example got there; under jit nothing is checked.

    Raises: SolverStopped naming the examples that met the limit of steps.
    Example:
      >>> check_solved(Solution(jnp.ones(1), jnp.ones(1), jnp.array([True]))).x.tolist()
      [1.0]
    """
    if not isinstance(found.solved, jax.core.Tracer) and not bool(jnp.all(found.solved)):
        stopped = np.flatnonzero(~np.asarray(found.solved)).tolist()
        raise SolverStopped(f"the solver met its limit of steps for examples {stopped[:20]}: raise max_steps or rtol")
    return found
