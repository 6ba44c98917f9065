"""The exact likelihood of a model in continuous time, by the change of variables along its probability flow.

    log p_0(x(0)) = log p_1(x(1)) + int_0^1 div v(x(t), t) dt

v is the probability flow's drift, `probability_flow.drift`; its divergence is exact or Hutchinson's estimate.
Reference: Song et al. 2021, section 4.3 and Appendix D.2; Chen et al. 2018; Grathwohl et al. 2019.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.probability_flow import Tolerance, check_problem, check_solved, drift, integrate
from jaxdiff.process.sde import SDE
from jaxdiff.types import Array, Batch, Float, Score

Field = Callable[[Batch], Batch]
Divergence = Callable[[Field, Batch], tuple[Batch, Array]]
"""divergence(field, x) -> (field(x) [B, ...], its divergence [B])."""


class Likelihood(NamedTuple):
    """log_prob = prior + change, in nats [B]; z [B, ...] at t = 1; as `Solution` the rest."""

    log_prob: Float[Array, " B"]
    prior: Float[Array, " B"]
    change: Float[Array, " B"]
    z: Batch
    num_evaluations: Array
    solved: Array


def log_likelihood(
    sde: SDE,
    score: Score,
    x: Batch,
    divergence: Divergence,
    epsilon: float = 1e-5,
    tolerance: Tolerance = Tolerance(),
) -> Likelihood:
    """Compute log p(x) in nats along the flow from t = epsilon to the prior at t = 1.

    log p(x) = log N(z; 0, prior_std^2 I) + int_epsilon^1 div v dt,  z the end of x at t = 1

    Args:
      sde, score, tolerance: as for `probability_flow.solve`.
      x: data [B, ...] at t = epsilon.
      divergence: `exact`, or `hutchinson(probes)`.
      epsilon: start, in (0, 1).
    Returns: a Likelihood; Hutchinson's estimate is unbiased in `change`.
    Raises: as `solve`; ValueError when the probes have another shape, or the score draws random numbers.
    Reference: Song et al. 2021, Eq. 39 and 40.
    Example:
      >>> from jaxdiff.process.sde import vp
      >>> found = log_likelihood(vp(), lambda x, t: -x, jnp.zeros((1, 2)), exact)
      >>> round(found.log_prob.item(), 3)
      -1.838
    """
    check_problem(x, epsilon, 1.0, tolerance)
    _check_deterministic(score, x)

    def field(t: Array, state: tuple[Batch, Array]) -> tuple[Batch, Array]:
        return divergence(lambda x: drift(sde, score, x, t), state[0])

    start = x, jnp.zeros(x.shape[0], x.dtype)
    (z, change), evaluations, solved = integrate(field, start, epsilon, 1.0, tolerance)
    prior = prior_log_prob(sde, z)
    return check_solved(Likelihood(prior + change, prior, change, z, evaluations, solved))


def prior_log_prob(sde: SDE, z: Batch) -> Float[Array, " B"]:
    """Compute log N(z; 0, prior_std^2 I) in nats, [B].

    Args:
      sde: whose prior it is; z: [B, ...].
    Example:
      >>> from jaxdiff.process.sde import vp
      >>> round(prior_log_prob(vp(), jnp.zeros((1, 2))).item(), 4)
      -1.8379
    """
    size = z[0].size
    squares = jnp.sum(z**2, axis=tuple(range(1, z.ndim)))
    return -0.5 * (size * np.log(2 * np.pi * sde.prior_std**2) + squares / sde.prior_std**2)


def exact(field: Field, x: Batch) -> tuple[Batch, Float[Array, " B"]]:
    """Compute a field and its divergence, the trace of the Jacobian: one derivative a number, for a few dimensions.

    Args:
      field: of a batch; x: [B, ...].
    Returns: (field(x) [B, ...], [B]).
    Example:
      >>> [part.tolist() for part in exact(lambda x: -x, jnp.ones((1, 2)))]
      [[[-1.0, -1.0]], [-2.0]]
    """
    size = x[0].size
    basis = jnp.eye(size, dtype=x.dtype).reshape(1, size, *x.shape[1:])
    value, traces = hutchinson(jnp.broadcast_to(basis, (x.shape[0], *basis.shape[1:])))(field, x)
    return value, traces * size


def hutchinson(probes: Array) -> Divergence:
    """Make an unbiased estimate of the divergence, the mean over K probes v of v^T J v.

    Args:
      probes: [B, K, ...], K random directions an example with E[v v^T] = I: Rademacher or Gaussian.
    Returns: a Divergence for x [B, ...]; its error falls as 1 / sqrt(K). It raises ValueError for x of another shape.
    Reference: Skilling 1989; Hutchinson 1990.
    Example:
      >>> _, found = hutchinson(jnp.array([[[1.0, -1.0]]]))(lambda x: -x, jnp.ones((1, 2)))
      >>> found.tolist()
      [-2.0]
    """

    def divergence(field: Field, x: Batch) -> tuple[Batch, Float[Array, " B"]]:
        if probes.ndim != x.ndim + 1 or (probes.shape[0], *probes.shape[2:]) != x.shape:
            wanted = f"[{x.shape[0]}, K{''.join(f', {size}' for size in x.shape[1:])}]"
            raise ValueError(f"probes must be {wanted} for x {list(x.shape)}, got {list(probes.shape)}")
        value, push = jax.linearize(field, x)
        products = jax.vmap(push, in_axes=1, out_axes=1)(probes) * probes
        return value, jnp.sum(products, axis=tuple(range(1, probes.ndim))) / probes.shape[1]

    return divergence


def _check_deterministic(score: Score, x: Batch) -> None:
    """A likelihood is that of one function, not of another one at every evaluation."""
    program = str(jax.make_jaxpr(lambda x: score(x, jnp.ones(x.shape[0], x.dtype)))(x))
    if "random_bits" in program or "threefry" in program:
        raise ValueError(
            "the score draws random numbers: is its network in train mode, with dropout on? use train=False"
        )
