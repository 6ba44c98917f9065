"""Processes that turn data into noise, and what reverses them.

`betas` and `respacing` are discrete chains, `schedules` and `sde` processes in continuous time. `posterior` is
q(x' | x, x0), the exact step back given the data, and `reverse_kernel` is p(x' | x), a model's. `vdm` and `ddgan` are
the processes of those two families; `gamma` has VDM's learned noise schedules, and Flax is imported with it, when it
is asked for.

To add a schedule of betas, write a function in `betas`; to add an SDE, one in `sde` that returns an `SDE`; to add a
variance of the reverse kernel, one in `reverse_kernel`.
"""

from typing import TYPE_CHECKING

from jaxdiff.imports import lazy
from jaxdiff.process import betas, ddgan, posterior, respacing, reverse_kernel, reverse_sde, schedules, sde, vdm

if TYPE_CHECKING:
    from jaxdiff.process import gamma
else:
    __getattr__, __dir__ = lazy(__name__, modules=["gamma"])

__all__ = [
    "betas",
    "ddgan",
    "gamma",
    "posterior",
    "respacing",
    "reverse_kernel",
    "reverse_sde",
    "schedules",
    "sde",
    "vdm",
]
