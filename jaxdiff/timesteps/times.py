"""Times t of training in continuous time: uniform, spread evenly over a batch, rounded to a grid, or by likelihood."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.grids import check_num_steps
from jaxdiff.process.sde import SDE
from jaxdiff.types import Array, ArrayLike, Float, as_floating


def uniform_times(uniform: Array, epsilon: float = 1e-5) -> Array:
    """Map a uniform number to a time: t = epsilon + u (1 - epsilon).

    Args:
      uniform: u in [0, 1], usually [B].
      epsilon: the smallest time, in (0, 1).
    Returns: times in the shape of `uniform`.
    Raises: ValueError when epsilon is outside (0, 1).
    Reference: Song et al. 2021, Appendix C.
    Example:
      >>> float(uniform_times(jnp.array(1.0)))
      1.0
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie between 0 and 1, got {epsilon}")
    return epsilon + uniform * (1 - epsilon)


def likelihood_times(sde: SDE, uniform: Array, epsilon: float = 1e-5) -> tuple[Array, float]:
    """Map a uniform number to a time with density g^2 / (Z std^2), which makes likelihood weighting low in variance.

    Z = int g^2 / std^2 dt = 2 log(sigma(1) / sigma(epsilon)),  since g^2 / std^2 = d log(sigma^2) / dt

    So sigma is log-uniform. Z times the unweighted `score_loss` at these times is, in expectation, the
    likelihood-weighted one at uniform times but for the factor 1 - epsilon.

    Args:
      sde: from `process.sde`.
      uniform: [B] in [0, 1).
      epsilon: the smallest time, in (0, 1).
    Returns: (t [B], Z).
    Raises: ValueError when epsilon is outside (0, 1).
    Reference: Song et al. 2021b (2101.09258), section 5.1, whose proposal is this one for VP.
    Example:
      >>> from jaxdiff.process.sde import ve
      >>> t, z = likelihood_times(ve(1.0, 100.0), jnp.array([0.5]), epsilon=1e-9)
      >>> round(t.item(), 4), round(z, 4)
      (0.5, 9.2103)
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie between 0 and 1, got {epsilon}")
    low, high = (float(np.log(sde.std(t) / sde.a(t))) for t in np.array([epsilon, 1.0]))
    return sde.time(jnp.exp(low + uniform * (high - low))), 2 * (high - low)


def antithetic_times(uniform: ArrayLike, batch: int) -> Float[Array, " B"]:
    """Space times evenly over a batch: t_i = (u + i / B) mod 1, each of them uniform.

    Args:
      uniform: u ~ U[0, 1), one number for the batch.
      batch: B.
    Returns: [B], in [0, 1).
    Raises: ValueError when there is more than one number.
    Reference: Kingma et al. 2021, Appendix I.1, the low-discrepancy sampler.
    Example:
      >>> antithetic_times(0.5, 4).tolist()
      [0.5, 0.75, 0.0, 0.25]
    """
    if jnp.ndim(uniform):
        raise ValueError(f"uniform must be one number for the batch, got shape {list(jnp.shape(uniform))}")
    return (jnp.asarray(uniform) + jnp.arange(batch) / batch) % 1


def discrete_times(t: ArrayLike, num_steps: int) -> Array:
    """Round times up to the grid of T steps: max(ceil(t T), 1) / T.

    Args:
      t: in [0, 1], of any shape; num_steps: T.
    Returns: times i / T, i = 1 .. T, in the shape of t.
    Raises: ValueError when a time on the host is not in [0, 1], or T is not an integer >= 1.
    Reference: Kingma et al. 2021, section 4, the discrete-time model.
    Example:
      >>> discrete_times(jnp.array([0.0, 0.3, 0.5]), 4).tolist()
      [0.25, 0.5, 0.5]
    """
    check_num_steps(num_steps)
    check_times(t, 0.0)
    return jnp.maximum(jnp.ceil(as_floating(t) * num_steps), 1) / num_steps


def check_times(t: ArrayLike, earliest: float) -> None:
    """Refuse times on the host outside [earliest, 1]; traced ones are not looked at.

    Args:
      t: of any shape; earliest: the smallest that is allowed, but for rounding (1e-6).
    Raises: ValueError when one lies outside.
    Example:
      >>> check_times(1.5, 0.0)
      Traceback (most recent call last):
      ValueError: t must lie in [0, 1], got 1.5
    """
    if not isinstance(t, jax.Array) and not np.all((np.asarray(t) > earliest - 1e-6) & (np.asarray(t) <= 1)):
        raise ValueError(f"t must lie in [{earliest:g}, 1], got {t}")
