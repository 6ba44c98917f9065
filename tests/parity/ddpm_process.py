"""OpenAI's diffusion processes rebuilt from a recorded config. Recorded images are x_t, NCHW; here they are NHWC.

The recorded code speaks x_t = x / sqrt(1 + sigma^2); `to_x` and `from_x` change between that and the library's x.
"""

import re
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff import guidance, precond, process
from jaxdiff.grids import Grid
from jaxdiff.precond import Preconditioning
from jaxdiff.process import respacing, reverse_kernel
from jaxdiff.process.betas import Betas, Tables
from jaxdiff.types import expand
from tests.support.formula import formula

PARAMETRISATIONS = {"EPSILON": precond.ddpm.eps, "START_X": precond.ddpm.x0}
LEARNED = ("LEARNED", "LEARNED_RANGE")
PROCESS = ("schedule", "steps", "num_timesteps", "respacing", "rescale_timesteps", "function", "max_beta")
"""Options of a process, all of which `process_of` reads."""
EXPONENT = re.compile(r"exp(?P<rate>[\d.]+)")


class Process(NamedTuple):
    """The chain of a config, the one it was respaced from, and the factor on the network's time."""

    betas: Betas
    trained: Betas
    steps: list[int]
    scale: float
    tables: Tables
    sigmas: Grid  # increasing, [T + 1], sigmas[0] = 0 and sigmas[t + 1] belongs to x_t


def betas_of(config) -> Betas:
    """The chain before respacing; the second recording calls its length num_timesteps."""
    length, name = config.get("steps", config.get("num_timesteps")), config.get("function", config.get("schedule"))
    if (
        name in (makers := {"linear": process.betas.linear, "cosine": process.betas.cosine})
        and "max_beta" not in config
    ):
        return makers[name](length)
    return process.betas.from_alpha_bar(alpha_bar_of(name), length, config.get("max_beta", 0.999))


def alpha_bar_of(name):
    """alpha_bar(u) of a recorded name, exp3 for exp(-3 u^2), or of a formula of u."""
    if name == "cosine":
        return formula("cos((u + 0.008) / 1.008 * pi / 2)^2", np)
    found = EXPONENT.fullmatch(name)
    return formula(f"exp(-{found['rate']} * u^2)" if found else name, np)


def process_of(config) -> Process:
    trained = betas_of(config)
    length = len(trained)
    steps = respacing.space(length, config.get("respacing") or str(length))
    betas = respacing.respace(trained, steps)
    if "steps" in config and "num_timesteps" in config:
        assert len(betas) == config["num_timesteps"]
    scale = 1000 / length if config.get("rescale_timesteps") else 1.0
    return Process(betas, trained, steps, scale, process.betas.tables(betas), process.betas.sigmas(betas)[::-1])


def precond_of(process, mean_type) -> Preconditioning:
    if mean_type == "PREVIOUS_X":
        return precond.ddpm.mu(process.betas, process.scale, process.trained)
    return PARAMETRISATIONS[mean_type](process.trained, process.scale)


def reverse_of(process, var_type, gradient=None) -> reverse_kernel.ReverseKernel:
    """p(x_{t-1} | x_t), guided where there is a gradient; then "fixed small" is 0 in the last step, as recorded."""
    floor = process.tables.decoder_variance
    p = {
        "FIXED_SMALL": lambda: reverse_kernel.fixed(
            reverse_kernel.small, floor if gradient is None else reverse_kernel.FLOOR
        ),
        "FIXED_LARGE": lambda: reverse_kernel.fixed(reverse_kernel.large, floor),
        "LEARNED": reverse_kernel.learned,
        "LEARNED_RANGE": lambda: reverse_kernel.learned_range(floor),
    }[var_type]()
    return p if gradient is None else reverse_kernel.guided(p, gradient)


def model_of(apply_fn, parametrisation, var_type, transform):
    """What the reverse step asks: a denoiser or one with values, `transform` (such as clipping) applied to its x0."""
    if var_type in LEARNED:
        channels_last = precond.denoiser_with_variance(apply_fn, None, parametrisation)
        return guidance.on_x0(transform, channels_last)
    return transform(precond.denoiser(precond.leading_channels(apply_fn), None, parametrisation))


def transform_of(mean_type, clip, denoised_fn=None, raw_mean=True):
    """Clipping of x0, and a function before it.

    Where the network predicts the previous image, its output is the mean as it is: then nothing is done to it.
    """

    def transform(denoise):
        if raw_mean and mean_type == "PREVIOUS_X":
            return denoise
        changed = denoise if denoised_fn is None else lambda x, sigma: denoised_fn(denoise(x, sigma))
        return guidance.clip(changed) if clip else changed

    return transform


def to_x(x_t, sigma):
    return x_t * expand(jnp.sqrt(1 + jnp.asarray(sigma) ** 2), x_t)


def from_x(x, sigma):
    return x / expand(jnp.sqrt(1 + jnp.asarray(sigma) ** 2), x)
