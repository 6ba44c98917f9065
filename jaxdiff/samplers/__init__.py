"""Samplers: pure functions of a denoiser and a grid, one algorithm a file.

To add one, write a file with a constructor that returns a `Sampler`, import it here, and give it a row in
`tests/samplers/table.py`, where every test will find it, and one in the README's table.
"""

from jaxdiff.samplers.ancestral import ancestral
from jaxdiff.samplers.base import Level, Sampler, move, sample, trajectory
from jaxdiff.samplers.churn import churn
from jaxdiff.samplers.consistency import consistency
from jaxdiff.samplers.control import impute
from jaxdiff.samplers.ddgan import ddgan, direct, x0_sampler
from jaxdiff.samplers.ddim import ddim, encode
from jaxdiff.samplers.dpm2 import dpm_2
from jaxdiff.samplers.dpmpp import dpmpp_2m
from jaxdiff.samplers.euler import euler
from jaxdiff.samplers.heun import heun
from jaxdiff.samplers.langevin import correction, in_turn, langevin
from jaxdiff.samplers.ode import euler_step, ode, second_order_step
from jaxdiff.samplers.predictors import predictor
from jaxdiff.samplers.timepoints import search_time_points, time_points

__all__ = [
    "Level",
    "Sampler",
    "ancestral",
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
    "euler_step",
    "heun",
    "impute",
    "in_turn",
    "langevin",
    "move",
    "ode",
    "predictor",
    "sample",
    "search_time_points",
    "second_order_step",
    "time_points",
    "trajectory",
    "x0_sampler",
]
