"""Parametrisations by name: {"name": "edm", "sigma_data": 0.5} as a `Preconditioning`, by a table."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxdiff import precond, process
from jaxdiff.interop.formats.plain_values import CheckpointFormatError, describe
from jaxdiff.precond import Preconditioning

BETAS: dict[str, Callable[..., Any]] = {
    "linear": process.betas.linear,
    "quadratic": process.betas.quadratic,
    "constant": process.betas.constant,
    "cosine": process.betas.cosine,
    "vp": process.betas.vp,
    "geometric": process.betas.geometric,
}
SDES: dict[str, Callable[..., Any]] = {"vp": process.sde.vp, "subvp": process.sde.subvp}
PRECONDS: dict[str, Callable[..., Preconditioning]] = {
    "edm": precond.edm,
    "vp": precond.vp,
    "ve": precond.ve,
    "iddpm": precond.iddpm,
    "vdm": precond.vdm,
    "consistency": precond.consistency,
    "trigflow": precond.trigflow,
    "ddpm.eps": precond.ddpm.eps,
    "ddpm.x0": precond.ddpm.x0,
    "ddpm.v": precond.ddpm.v,
    "ddpm.mu": precond.ddpm.mu,
    "score_sde.eps": precond.score_sde.eps,
}
"""To add a parametrisation, add its row: its arguments are numbers, or one of `NESTED`."""
NESTED = {"betas": BETAS, "trained": BETAS, "sde": SDES}
"""Arguments that are described by a name and arguments in turn."""
MOST = 1_000_000
"""A number of steps that no chain has."""


def preconditioning(described: Mapping[str, Any]) -> Preconditioning:
    """Build the parametrisation that a description names.

    Args:
      described: {"name": one of `PRECONDS`, argument: number}; "betas" and "sde" are described in the same way.
    Raises: CheckpointFormatError (a ValueError) naming what is unknown, missing or no number.
    Example:
      >>> preconditioning({"name": "ddpm.eps", "betas": {"name": "cosine", "num_steps": 50}}).sigma_max > 500
      True
      >>> preconditioning({"name": "edm", "sd": 0.5})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: precond edm has no argument sd, only sigma_data
    """
    return build("precond", PRECONDS, described)


def build(what: str, table: Mapping[str, Callable[..., Any]], described: Any) -> Any:
    """Call the row of a table that a description names, with its arguments.

    Args:
      what: is described, for messages; table: name -> function; described: as for `preconditioning`.
    Raises: CheckpointFormatError as `preconditioning`.
    Example:
      >>> build("betas", BETAS, {"name": "constant", "num_steps": 2, "beta": 0.5}).tolist()
      [0.5, 0.5]
    """
    if not isinstance(described, Mapping):
        raise CheckpointFormatError(f"{what} must be an object with a name, got {describe(described)}")
    given = dict(described)
    name = given.pop("name", None)
    if not isinstance(name, str) or name not in table:
        raise CheckpointFormatError(f"{what} is {describe(name)}; there are {', '.join(table)}")
    known = inspect.signature(table[name]).parameters
    if unknown := [key for key in given if key not in known]:
        raise CheckpointFormatError(f"{what} {name} has no argument {', '.join(unknown)}, only {', '.join(known)}")
    if missing := [key for key, p in known.items() if p.default is inspect.Parameter.empty and key not in given]:
        raise CheckpointFormatError(f"{what} {name} lacks {', '.join(missing)}")
    arguments = {
        key: build(key, NESTED[key], value) if key in NESTED else _number(f"{what} {name}: {key}", value)
        for key, value in given.items()
    }
    try:
        return table[name](**arguments)
    except (ValueError, TypeError) as error:
        raise CheckpointFormatError(f"{what} {name}: {error}") from error


def _number(what: str, value: Any) -> float | int:
    if type(value) not in (int, float) or not abs(value) <= MOST:
        raise CheckpointFormatError(f"{what} must be a number up to {MOST}, got {describe(value)}")
    return value
