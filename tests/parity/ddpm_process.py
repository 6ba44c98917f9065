"""OpenAI's diffusion processes rebuilt from a recorded config. Recorded images are x_t, NCHW; here they are NHWC.

The recorded code speaks x_t = x / sqrt(1 + sigma^2); `to_x` and `from_x` change between that and the library's x.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff import betas as chains
from jaxdiff import chain, guidance, precond, respacing, reverse
from jaxdiff.betas import Betas, Tables
from jaxdiff.grids import Grid
from jaxdiff.precond import Preconditioning
from jaxdiff.types import expand

ROWS = {"EPSILON": chain.eps, "START_X": chain.x0}
LEARNED = ("LEARNED", "LEARNED_RANGE")
FUNCTIONS = {"exp3": lambda u: np.exp(-3 * u**2), "exp12": lambda u: np.exp(-12 * u**2)}


class Process(NamedTuple):
    """The chain of a config, the one it was respaced from, and the factor on the network's time."""

    betas: Betas
    trained: Betas
    steps: list[int]
    scale: float
    tables: Tables
    sigmas: Grid  # increasing, [T + 1], sigmas[0] = 0 and sigmas[t + 1] belongs to x_t


def betas_of(config) -> Betas:
    if "function" in config:
        return chains.from_alpha_bar(FUNCTIONS[config["function"]], config["steps"], config["max_beta"])
    return {"linear": chains.linear, "cosine": chains.cosine}[config["schedule"]](config["steps"])


def process_of(config) -> Process:
    trained = betas_of(config)
    steps = respacing.space(config["steps"], config.get("respacing", str(config["steps"])))
    betas = respacing.respace(trained, steps)
    scale = 1000 / config["steps"] if config.get("rescale_timesteps") else 1.0
    return Process(betas, trained, steps, scale, chains.tables(betas), chains.sigmas(betas)[::-1])


def row_of(process, mean_type) -> Preconditioning:
    if mean_type == "PREVIOUS_X":
        return chain.mu(process.betas, process.scale, process.trained)
    return ROWS[mean_type](process.trained, process.scale)


def reverse_of(process, var_type) -> reverse.Reverse:
    floor = process.tables.decoder_variance
    return {
        "FIXED_SMALL": lambda: reverse.fixed(reverse.small, floor),
        "FIXED_LARGE": lambda: reverse.fixed(reverse.large, floor),
        "LEARNED": reverse.learned,
        "LEARNED_RANGE": lambda: reverse.learned_range(floor),
    }[var_type]()


def model_of(apply_fn, row, var_type, transform):
    """What the reverse step asks: a denoiser or one with values, `transform` (such as clipping) applied to its x0."""
    if var_type in LEARNED:
        channels_last = precond.denoiser_with_variance(apply_fn, None, row)
        return guidance.on_x0(transform, channels_last)
    return transform(precond.denoiser(precond.leading_channels(apply_fn), None, row))


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
