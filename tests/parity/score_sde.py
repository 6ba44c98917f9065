"""Song et al.'s recorded SDEs and exact mixtures, rebuilt from a file's config. Images are NCHW and stay so."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxdiff import sde as sdes
from jaxdiff import toy
from jaxdiff.samplers import predictors as p
from jaxdiff.samplers.langevin import annealed, batch_mean
from jaxdiff.types import expand

RANGES = {"vp": ("beta_min", "beta_max"), "subvp": ("beta_min", "beta_max"), "ve": ("sigma_min", "sigma_max")}


def sde_of(config):
    return getattr(sdes, config["sde"])(*(config[name] for name in RANGES[config["sde"]]))


def marginals_of(config, sde):
    """What the recorded network is told: the SDE's own levels, or those of its chain."""
    if config.get("continuous", True):
        return sde
    return sdes.chain_marginals(sde, config["N"], nearest=config["sde"] == "ve")


def mixture_of(arrays):
    """mixture/* over all pixels."""
    means, weights, variances = (arrays[f"mixture/{name}"].astype(np.float64) for name in ("means", "weights", "var"))
    return toy.mixture(means.reshape(len(means), -1), weights, variances)


def score_of(arrays, sde):
    """The exact score of mixture/* in native coordinates, which keeps its digits where std is tiny."""
    flat = mixture_of(arrays)

    def score(x, t):
        y = (x / expand(sde.a(t), x)).reshape(x.shape[0], -1)
        return toy.score(flat, y, sde.std(t) / sde.a(t)).reshape(x.shape) / expand(sde.a(t), x)

    return score


def denoiser_of(arrays):
    """The exact denoiser of mixture/*, on images."""
    exact = partial(toy.denoiser, mixture_of(arrays))
    return lambda x, sigma: exact(x.reshape(x.shape[0], -1), sigma).reshape(x.shape)


def float64(a):
    return jnp.asarray(np.asarray(a, np.float64))


def stay(sde, x, t, score, num_steps):
    """No predictor."""
    return x, jnp.zeros_like(t)


UPDATES = {
    ("none", False): stay,
    ("euler_maruyama", False): p.euler_maruyama,
    ("euler_maruyama", True): p.euler_flow,
    ("reverse_diffusion", False): p.reverse_diffusion,
    ("reverse_diffusion", True): p.reverse_diffusion_flow,
    ("ancestral_sampling", False): p.ancestral_update,
}
STEP_SIZES = {"langevin": batch_mean, "ald": annealed}
