"""Parametrisations: a network becomes a denoiser by four functions of sigma.

`base` has the type `Preconditioning` and `denoiser`, `level_table` what networks trained on a table of levels share,
and the other files hold one family of parametrisations each. Those of EDM's Table 1 (`edm`, `vp`, `ve`, `iddpm`),
`vdm`, `consistency` and `trigflow` are functions of this package; those of networks trained on a chain of steps are
`ddpm.eps`, `ddpm.x0`, `ddpm.v` and `ddpm.mu`, on an SDE `score_sde.eps`.

To add one, write a function that returns a `Preconditioning` in the file of its family and import it here; what it
predicts (eps, x0, v) is a pair of coefficients in `jaxdiff.predictions`.
"""

from jaxdiff.precond import ddpm, score_sde
from jaxdiff.precond.base import (
    Preconditioning,
    denoiser,
    denoiser_with_variance,
    leading_channels,
    variance_preserving,
)
from jaxdiff.precond.consistency import consistency
from jaxdiff.precond.edm import edm, iddpm, ve, vp
from jaxdiff.precond.trigflow import (
    TrigFlowNetwork,
    trigflow,
    trigflow_from_edm,
    trigflow_network,
    trigflow_sigma,
    trigflow_time,
)
from jaxdiff.precond.vdm import vdm

__all__ = [
    "Preconditioning",
    "TrigFlowNetwork",
    "consistency",
    "ddpm",
    "denoiser",
    "denoiser_with_variance",
    "edm",
    "iddpm",
    "leading_channels",
    "score_sde",
    "trigflow",
    "trigflow_from_edm",
    "trigflow_network",
    "trigflow_sigma",
    "trigflow_time",
    "variance_preserving",
    "vdm",
    "ve",
    "vp",
]
