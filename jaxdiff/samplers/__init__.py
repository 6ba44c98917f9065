"""Samplers: pure functions of a denoiser and a grid, one algorithm a file.

`sample` and `trajectory` of `base` drive them all. One-step and multistep methods are `euler`, `heun`, `dpm_2`,
`dpmpp_2m`, `ddim`, `ancestral`, `consistency`, `ddgan`; along an SDE or a schedule `ode`, `adaptive`, `predictor` and
`correction`; `churn`, `langevin`, `predictor_corrector` and `impute` wrap other samplers.

To add one, write a file with a constructor that returns a `Sampler`, import it here, and give it a row in
`tests/samplers/table.py`, where every test will find it, one in `benchmarks/solver_rows.py`, which measures its error,
and one in docs/figures/coverage.md. `adaptive` needs the extra `flow` and is imported when it is asked for.
"""

from typing import TYPE_CHECKING

from jaxdiff.imports import lazy
from jaxdiff.samplers.ancestral import ancestral
from jaxdiff.samplers.base import Level, Sampler, affine_step, sample, trajectory
from jaxdiff.samplers.churn import churn
from jaxdiff.samplers.consistency import consistency
from jaxdiff.samplers.control import impute
from jaxdiff.samplers.ddgan import ddgan, direct, x0_sampler
from jaxdiff.samplers.ddim import ddim, encode
from jaxdiff.samplers.dpm2 import dpm_2
from jaxdiff.samplers.dpmpp import dpmpp_2m
from jaxdiff.samplers.euler import euler
from jaxdiff.samplers.heun import heun
from jaxdiff.samplers.langevin import (
    annealed_step_size,
    batch_mean_step_size,
    correction,
    langevin,
    per_example_step_size,
    predictor_corrector,
)
from jaxdiff.samplers.ode import euler_step, ode, second_order_step
from jaxdiff.samplers.predictors import (
    ancestral_update,
    euler_maruyama,
    predictor,
    reverse_diffusion,
    reverse_diffusion_flow,
)
from jaxdiff.samplers.timepoints import search_time_points, time_points

if TYPE_CHECKING:
    from jaxdiff.samplers.adaptive_ode import adaptive
else:
    __getattr__, __dir__ = lazy(__name__, names={"adaptive": "adaptive_ode"})

__all__ = [
    "Level",
    "Sampler",
    "adaptive",
    "affine_step",
    "ancestral",
    "ancestral_update",
    "annealed_step_size",
    "batch_mean_step_size",
    "churn",
    "consistency",
    "correction",
    "ddgan",
    "ddim",
    "direct",
    "dpm_2",
    "dpmpp_2m",
    "encode",
    "euler",
    "euler_maruyama",
    "euler_step",
    "heun",
    "impute",
    "langevin",
    "ode",
    "per_example_step_size",
    "predictor",
    "predictor_corrector",
    "reverse_diffusion",
    "reverse_diffusion_flow",
    "sample",
    "search_time_points",
    "second_order_step",
    "time_points",
    "trajectory",
    "x0_sampler",
]
