"""What training draws: levels, times, steps and pairs of levels, and how they change with the training step.

`levels` draws sigma, `times` the t of continuous time, `steps` those of a discrete process, `pairs` neighbouring levels
for consistency losses; `curricula` says how many levels there are, and how a target or a tangent is weighted, at each
training step. A function takes the uniform or normal numbers that were drawn, never a key, so that draws can be stored
and replayed.

To add a distribution, write a function from a uniform or normal number to a level (a time, a step) in the file of its
kind and name it here; a schedule over training is a function of the step in `curricula`.
"""

from jaxdiff.timesteps import curricula, levels, pairs, steps, times
from jaxdiff.timesteps.levels import karras_sigma, lognormal_sigma, ve_sigma, vp_sigma
from jaxdiff.timesteps.pairs import (
    adjacent_levels,
    ect_sigma_next,
    lognormal_levels,
    progressive_levels,
    uniform_levels,
)
from jaxdiff.timesteps.steps import (
    LossHistory,
    antithetic_steps,
    empty_history,
    importance_probabilities,
    importance_steps,
    update_history,
)
from jaxdiff.timesteps.times import antithetic_times, discrete_times, likelihood_times, uniform_times

__all__ = [
    "LossHistory",
    "adjacent_levels",
    "antithetic_steps",
    "antithetic_times",
    "curricula",
    "discrete_times",
    "ect_sigma_next",
    "empty_history",
    "importance_probabilities",
    "importance_steps",
    "karras_sigma",
    "levels",
    "likelihood_times",
    "lognormal_levels",
    "lognormal_sigma",
    "pairs",
    "progressive_levels",
    "steps",
    "times",
    "uniform_levels",
    "uniform_times",
    "update_history",
    "ve_sigma",
    "vp_sigma",
]
