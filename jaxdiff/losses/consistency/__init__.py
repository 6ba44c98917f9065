"""Losses of consistency models: in discrete time, in continuous time, and sCM's in TrigFlow coordinates.

Each takes the levels and the noise that were drawn (`timesteps.pairs`, `timesteps.levels`) and gives one number an
example. To add one, write it in the file of its kind (`discrete`, `continuous`, `scm`) and name it here; a new way of
drawing levels goes to `timesteps`.
"""

from jaxdiff.losses.consistency import continuous, discrete, scm
from jaxdiff.losses.consistency.continuous import ode_slope, stopped_tangent_loss, tangent_loss
from jaxdiff.losses.consistency.discrete import (
    ConsistencyFn,
    ODESolver,
    consistency_loss,
    distillation_loss,
    euler_solver,
    heun_solver,
    improved_training_loss,
    training_loss,
)
from jaxdiff.losses.consistency.scm import adaptive_log_weight, scd_loss, scm_loss, sct_loss

__all__ = [
    "ConsistencyFn",
    "ODESolver",
    "adaptive_log_weight",
    "consistency_loss",
    "continuous",
    "discrete",
    "distillation_loss",
    "euler_solver",
    "heun_solver",
    "improved_training_loss",
    "ode_slope",
    "scd_loss",
    "scm",
    "scm_loss",
    "sct_loss",
    "stopped_tangent_loss",
    "tangent_loss",
    "training_loss",
]
