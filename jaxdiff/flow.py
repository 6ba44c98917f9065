"""The probability-flow ODE solved adaptively, and the exact likelihood that it gives.

    dx/dt = f(t) x - g(t)^2 score(x, t) / 2 = v(x, t)
    log p_0(x(0)) = log p_1(x(1)) + int_0^1 div v(x(t), t) dt

Steps are those of diffrax, chosen for every example alone: an example's result does not depend on its batch, and the
batch takes as long as its hardest example.
Reference: Song et al. 2021, section 4.3 and Appendix D.2; Chen et al. 2018; Grathwohl et al. 2019.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import sde as sdes
from jaxdiff.sde import SDE
from jaxdiff.types import Array, Batch, Float

Score = Callable[[Batch, Array], Batch]
"""score(x, t) in native coordinates, x [B, ...], t []."""
Divergence = Callable[[Callable[[Array], Array], Array, Array], tuple[Array, Array]]
"""divergence(field, x, probes) -> (field(x), its divergence), for one example."""


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

    def field(t: Array, y: Array, args: None) -> Array:
        return drift(sde, score, y, t)

    x1, evaluations, solved = jax.vmap(lambda y: _integrate(field, y, t0, t1, tolerance))(x)
    return _raise_unless(Solution(x1, evaluations, solved))


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
    Raises: as `solve`; ValueError when the probes have another shape.
    Reference: Song et al. 2021, Eq. 39 and 40; Skilling 1989; Hutchinson 1990.
    Example:
      >>> found = log_likelihood(sdes.vp(), lambda x, t: -x, jnp.zeros((1, 2)), exact)
      >>> round(found.log_prob.item(), 3)
      -1.838
    """
    _check(x, epsilon, 1.0, tolerance)
    probes = jnp.zeros((x.shape[0], 0)) if probes is None else probes
    if divergence is hutchinson and (probes.ndim != x.ndim + 1 or probes.shape[2:] != x.shape[1:]):
        raise ValueError(f"probes must be {['B', 'K', *x.shape[1:]]} for x {list(x.shape)}, got {list(probes.shape)}")

    def one(y: Array, v: Array) -> tuple[Any, Array, Array]:
        def field(t: Array, state: tuple[Array, Array], args: None) -> tuple[Array, Array]:
            return divergence(lambda y: drift(sde, score, y, t), state[0], v)

        return _integrate(field, (y, jnp.zeros((), y.dtype)), epsilon, 1.0, tolerance)

    (z, change), evaluations, solved = jax.vmap(one)(x, probes)
    prior = prior_log_prob(sde, z)
    return _raise_unless(Likelihood(prior + change, prior, change, z, evaluations, solved))


def prior_log_prob(sde: SDE, z: Batch) -> Float[Array, " B"]:
    """log N(z; 0, prior_std^2 I) in nats, [B].

    Example:
      >>> round(prior_log_prob(sdes.vp(), jnp.zeros((1, 2))).item(), 4)
      -1.8379
    """
    size = z[0].size
    squares = jnp.sum(z**2, axis=tuple(range(1, z.ndim)))
    return -0.5 * (size * np.log(2 * np.pi * sde.prior_std**2) + squares / sde.prior_std**2)


def drift(sde: SDE, score: Score, x: Array, t: Array) -> Array:
    """v(x, t) of one example [...]."""
    return sdes.reverse_drift(sde, score(x[None], t), x[None], t, share=0.5)[0]


def exact(field: Callable[[Array], Array], x: Array, probes: Array) -> tuple[Array, Array]:
    """The trace of the Jacobian, one derivative a number: for a few dimensions."""
    value, push = jax.linearize(field, x)
    basis = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
    return value, jnp.sum(jax.vmap(push)(basis) * basis)


def hutchinson(field: Callable[[Array], Array], x: Array, probes: Array) -> tuple[Array, Array]:
    """mean over K probes of v^T J v, an unbiased estimate of the trace."""
    value, push = jax.linearize(field, x)
    return value, jnp.sum(jax.vmap(push)(probes) * probes) / probes.shape[0]


def dequantize(pixels: Array, uniform: Array, levels: int = 256) -> Array:
    """(pixels + u) / levels on [-1, 1], u ~ U[0, 1): a density there bounds the grey levels' mass.

    Reference: Theis et al. 2016 (1511.01844), section 3.1.
    Example:
      >>> dequantize(jnp.array([0, 1]), jnp.zeros(2), levels=2).tolist()
      [-1.0, 0.0]
    """
    return 2 * (pixels + uniform) / levels - 1


def density_bits_per_dim(log_prob: Array, dims: int, levels: int = 256, width: float = 2.0) -> Array:
    """-log_prob / (dims log 2) + log2(levels / width): bits of a grey level from a density of dequantised data.

    Args:
      log_prob: nats per example; dims: numbers in an example.
      levels: grey levels; width: of the data's range, 2 for [-1, 1]: the offset is 7 for bytes, and 8 on [0, 1].
    Example: a uniform density on [-1, 1] costs all 8 bits
      >>> float(density_bits_per_dim(3 * jnp.log(0.5), 3))
      8.0
    """
    return -jnp.asarray(log_prob) / (dims * np.log(2)) + np.log2(levels / width)


def _integrate(field: Any, y: Any, t0: float, t1: float, tolerance: Tolerance) -> tuple[Any, Array, Array]:
    """(y at t1, evaluations, whether it got there) of one example."""
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(field), tolerance.solver, t0, t1, None, y,
        stepsize_controller=diffrax.PIDController(rtol=tolerance.rtol, atol=tolerance.atol),
        max_steps=tolerance.max_steps, throw=False,
    )  # fmt: skip
    stages = int(getattr(tolerance.solver, "tableau").num_stages)  # noqa: B009  # not declared on every solver
    # The last stage of a step is the first of the next in these solvers.
    evaluations = found.stats["num_steps"] * (stages - 1) + 1
    return jax.tree.map(lambda a: a[-1], found.ys), evaluations, found.result == diffrax.RESULTS.successful


def _check(x: Batch, t0: float, t1: float, tolerance: Tolerance) -> None:
    if not (0 < t0 <= 1 and 0 < t1 <= 1):
        raise ValueError(f"times must lie in (0, 1], got {t0} and {t1}")
    attainable = 10 * float(jnp.finfo(x.dtype).eps)
    for name in ("rtol", "atol"):
        if not getattr(tolerance, name) >= attainable:
            raise ValueError(
                f"{name}={getattr(tolerance, name)} is below what {x.dtype} can meet: ask for {attainable:.1e} or more"
            )


def _raise_unless(found: Any) -> Any:
    if not isinstance(found.solved, jax.core.Tracer) and not bool(jnp.all(found.solved)):
        stopped = np.flatnonzero(~np.asarray(found.solved)).tolist()
        raise SolverStopped(f"the solver met its limit of steps for examples {stopped[:20]}: raise max_steps or rtol")
    return found
