"""Song et al.'s recorded SDEs, exact mixtures and tiny networks, rebuilt from a case. Images are NCHW and stay so."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxdiff import gaussian_mixture, precond, process
from jaxdiff.samplers import predictors
from jaxdiff.samplers.langevin import annealed_step_size, batch_mean_step_size
from jaxdiff.types import expand
from tests.support import reference
from tests.support.euler_flow import euler_flow

RANGES = {"vp": ("beta_min", "beta_max"), "subvp": ("beta_min", "beta_max"), "ve": ("sigma_min", "sigma_max")}


def sde_of(config):
    return getattr(process.sde, config["sde"])(*(config[name] for name in RANGES[config["sde"]]))


def marginals_of(config, sde):
    """What the recorded network is conditioned on: the SDE's own levels, or those of its chain."""
    if config.get("continuous", True):
        return sde
    return process.sde.chain_marginals(sde, config["N"], nearest=config["sde"] == "ve")


def mixture_of(arrays):
    """mixture/* over all pixels."""
    variances = "mixture/var" if "mixture/var" in arrays else "mixture/vars"
    means, weights, variances = (
        np.asarray(arrays[name], np.float64) for name in ("mixture/means", "mixture/weights", variances)
    )
    return gaussian_mixture.mixture(means.reshape(len(means), -1), weights, variances)


def score_of(arrays, sde):
    """The exact score of mixture/* in native coordinates, which avoids cancellation error where std is tiny."""
    flat = mixture_of(arrays)

    def score(x, t):
        y = (x / expand(sde.a(t), x)).reshape(x.shape[0], -1)
        return gaussian_mixture.score(flat, y, sde.std(t) / sde.a(t)).reshape(x.shape) / expand(sde.a(t), x)

    return score


def denoiser_of(arrays):
    """The exact denoiser of mixture/*, on images."""
    exact = partial(gaussian_mixture.denoiser, mixture_of(arrays))
    return lambda x, sigma: exact(x.reshape(x.shape[0], -1), sigma).reshape(x.shape)


def tiny(params, x, label):
    """W2 tanh(W1 x + b1 + E [sin(f c), cos(f c)]) + b2 for every pixel, c = label [B]."""
    angle = jnp.broadcast_to(label, x.shape[:1])[:, None] * params["f"][None]
    embedded = params["b1"][None] + jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1) @ params["E"].T
    hidden = jnp.tanh(jnp.einsum("hc,bcij->bhij", params["W1"], x) + embedded[:, :, None, None])
    return jnp.einsum("ch,bhij->bcij", params["W2"], hidden) + params["b2"][None, :, None, None]


def tiny_params(arrays, prefix="param"):
    return {name: float64(a) for name, a in reference.subset(arrays, prefix).items()}


def tiny_score(params, config, sde):
    """score(x, t) of the network in native coordinates, as the recorded wrappers make it."""
    if config["sde"] == "ve" and config.get("continuous", True):
        parametrisation = precond.ve(*(config[name] for name in RANGES["ve"]))
        # The library's VE networks predict -noise from log(sigma / 2), this one the score from sigma.
        times_sigma = lambda params, x, c: 2 * expand(jnp.exp(c), x) * tiny(params, x, 2 * jnp.exp(c))  # noqa: E731
        return precond.score_sde.score(times_sigma, params, parametrisation, sde)
    if config.get("continuous", True) or config["sde"] == "subvp":
        return precond.score_sde.score(tiny, params, precond.score_sde.eps(sde), sde)
    std = marginals_of(config, sde).std
    if config["sde"] == "ve":
        return lambda x, t: tiny(params, x, discrete_labels(config, t))
    return lambda x, t: -tiny(params, x, discrete_labels(config, t)) / expand(std(t), x)


def discrete_labels(config, t):
    """Labels of networks of a chain: for VE the rounded index of descending levels, else the unrounded index."""
    last = config["N"] - 1
    return {"ve": lambda: jnp.round((1 - t) * last), "vp": lambda: last * t, "subvp": lambda: 999 * t}[config["sde"]]()


def model_of(case, sde):
    """(x, sigma, t) -> the denoiser of what the case was recorded with: its mixture, or a tiny network."""
    kind, *name = case.config.get("model", "mixture").split()
    if kind == "mixture":
        exact = denoiser_of(case.inputs)
        return lambda x, sigma, t: exact(x, sigma)
    assert kind == "TinyNet"
    marginals = marginals_of(case.config, sde)
    score = tiny_score(tiny_params(case.inputs, f"{name[0]}/param"), case.config, sde)

    def denoise(x, sigma, t):
        a, std = expand(marginals.a(t), x), expand(marginals.std(t), x)
        return x + std**2 / a * score(a * x, t)

    return denoise


def unscaled(config):
    """Images as the samplers return them: in [0, 1] where the process ran on data `centered` around 0."""
    halved = config["centered"] if "centered" in config else config["inverse_scaler"] in ("half", "(x+1)/2")
    assert halved or config.get("inverse_scaler", "identity") == "identity"
    return (lambda x: (x + 1) / 2) if halved else (lambda x: x)


def float64(a):
    return jnp.asarray(np.asarray(a, np.float64))


def unchanged(sde, x, t, score, num_steps):
    """No predictor."""
    return x, jnp.zeros_like(t)


UPDATES = {
    ("none", False): unchanged,
    ("none", True): unchanged,
    ("euler_maruyama", False): predictors.euler_maruyama,
    ("euler_maruyama", True): euler_flow,
    ("reverse_diffusion", False): predictors.reverse_diffusion,
    ("reverse_diffusion", True): predictors.reverse_diffusion_flow,
    ("ancestral_sampling", False): predictors.ancestral_update,
}
STEP_SIZES = {"langevin": batch_mean_step_size, "ald": annealed_step_size}
