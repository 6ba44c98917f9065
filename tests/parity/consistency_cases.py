"""What the recorded consistency losses share: the tiny network, the mixture teacher, names of distances and weights."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxdiff import boundary, losses, precond, toy
from jaxdiff.losses import distances
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

DISTANCES = {
    "l1": distances.l1,
    "l2": distances.l2,
    "linf": distances.linf,
    "l2-32": distances.resized(distances.l2, 32),
}


def weights(sigma_data):
    """Weight functions by both releases' names."""
    karras = partial(losses.edm_weight, sigma_data=sigma_data)
    named = {"uniform": jnp.ones_like, "snr": losses.inverse_variance, "karras": karras}
    plus_one, truncated = losses.snr_plus_one, losses.truncated_snr
    return named | {"snr+1": plus_one, "snrp1": plus_one, "truncated-snr": truncated, "truncated_snr": truncated}


def params_of(arrays, prefix="param"):
    """A, b, a, g in float64."""
    return {name: jnp.asarray(value.astype(np.float64)) for name, value in reference.subset(arrays, prefix).items()}


def tiny(config):
    """apply(params, u, c) of the recorded network; c is whatever the row's c_noise is."""

    def apply(params, u, c):
        phase = config["omega"] * jnp.reshape(c, (-1,) + (1,) * (u.ndim - 1))
        vector = {name: value[(None,) * (u.ndim - 1)] for name, value in params.items() if name != "A"}
        mixed = jnp.matmul(u, params["A"].T)
        return jnp.tanh(mixed + vector["b"] + vector["a"] * jnp.sin(phase)) * (1 + vector["g"] * jnp.cos(phase))

    return apply


def rows(config):
    """(boundary row, EDM's row) with the time condition of the file's release: 250 or 1/4 of ln t."""
    scale = 250.0 if config["omega"] < 0.01 else 0.25
    low, high = (config.get(a, config.get(b)) for a, b in (("sigma_min", "t_min"), ("sigma_max", "t_max")))
    edm = precond.edm(config["sigma_data"])._replace(c_noise=lambda sigma: scale * jnp.log(sigma))
    return boundary.consistency(config["sigma_data"], low or 0.002, high or 80.0, scale), edm


def span(config):
    """Range of levels and rho, as keyword arguments."""
    low, high = (config.get(a, config.get(b)) for a, b in (("sigma_min", "t_min"), ("sigma_max", "t_max")))
    return {"sigma_min": low, "sigma_max": high, "rho": config["rho"]}


def teacher(arrays):
    """The mixture's posterior mean for images [B, H, W, C]; the recorded means are flattened as C, H, W."""
    mixture = {name: value.astype(np.float64) for name, value in reference.subset(arrays, "mixture").items()}
    shape = arrays["in/x0"].shape[1:]
    means = np.moveaxis(mixture["means"].reshape(-1, *shape), 1, -1).reshape(len(mixture["means"]), -1)
    exact = toy.mixture(means, mixture["weights"], mixture["var"])
    return lambda x, sigma: toy.denoiser(exact, x.reshape(x.shape[0], -1), sigma).reshape(x.shape)


def inputs(arrays, *names):
    """Recorded inputs in float64: images as NHWC, the rest as they are."""
    values = [arrays[f"in/{name}"] for name in names]
    return [nhwc(a) if a.ndim == 4 else jnp.asarray(a.astype(np.float64)) for a in values]


def agree(arrays, name, actual, rtol=1e-9):
    """An output against the recorded one."""
    close(nchw(actual) if np.ndim(actual) == 4 else actual, arrays[name], rtol)


def agree_gradient(arrays, case, gradient, rtol=1e-9):
    """Every parameter's gradient."""
    for name, value in gradient.items():
        close(value, arrays[f"{case}/out/grad/{name}"], rtol)
