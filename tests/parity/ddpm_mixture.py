"""The recorded loops' network: the exact prediction for a Gaussian mixture, at a step, in recorded coordinates."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.process.betas import tables
from tests.support.arrays import nhwc
from tests.support.formula import formula

FORMULA = re.compile(r"[\d.]+\*\w+\([^()]+\)")


def values_of(text):
    """x_t -> the variance's values, from a text in which they are written as 0.8*cos(3*x_t); zeros for None."""
    if text is None:
        return jnp.zeros_like
    found = FORMULA.search(text)
    assert found, f"no test knows the values {text!r}"
    return formula(found[0])


def pictures(array):
    """[..., N, C, H, W] channels last; points [..., N, D] as images of one pixel, [..., N, 1, 1, D]."""
    array = np.asarray(array, np.float64)
    return nhwc(array if array.ndim >= 4 else array[..., None, None])


def mixture_network(arrays, mean_type, process, alpha_bar=None, values=lambda x_t: 0.9 * jnp.sin(2 * x_t)):
    """apply_fn(params, x_t, t) of what a mean type names, with values of the variance behind it.

    Args:
      arrays: with mixture/means, mixture/weights, mixture/var.
      alpha_bar: recorded table of the chain before respacing; our own where there is none.
    """
    alpha_bar = tables(process.trained).alpha_bar if alpha_bar is None else alpha_bar
    means = pictures(arrays["mixture/means"])
    weights, variances = (jnp.asarray(arrays[f"mixture/{name}"].astype(np.float64)) for name in ("weights", "var"))
    alpha_bar = jnp.asarray(alpha_bar)
    below = jnp.append(1.0, jnp.asarray(process.tables.alpha_bar[:-1]))
    steps = jnp.asarray(process.steps)

    def apply_fn(params, x_t, c_noise):
        t = jnp.round(c_noise / process.scale).astype(int)
        t = jnp.broadcast_to(t, x_t.shape[:1])
        a = alpha_bar[t][:, None]  # [B, 1], components follow
        s = a * variances[None] + 1 - a
        distance = x_t[:, None] - jnp.sqrt(a)[..., None, None, None] * means[None]
        size = means[0].size
        log_r = jnp.log(weights)[None] - 0.5 * size * jnp.log(s) - 0.5 * jnp.sum(distance**2, axis=(2, 3, 4)) / s
        r = jax.nn.softmax(log_r, axis=1)
        column = lambda a: a[..., None, None, None]  # noqa: E731
        eps = column(jnp.sqrt(1 - a[:, 0])) * jnp.sum(column(r / s) * distance, axis=1)
        gain = column(variances[None] * jnp.sqrt(a) / s)
        x0 = jnp.sum(column(r) * (means[None] + gain * distance), axis=1)
        index = jnp.searchsorted(steps, t)
        prev, here = below[index], alpha_bar[t]
        coef1 = jnp.sqrt(prev) * (1 - here / prev) / (1 - here)
        coef2 = jnp.sqrt(here / prev) * (1 - prev) / (1 - here)
        x_prev = column(coef1) * x0 + column(coef2) * x_t
        f = {"EPSILON": eps, "START_X": x0, "PREVIOUS_X": x_prev}[mean_type]
        return jnp.concatenate([f, values(x_t)], axis=-1)

    return apply_fn
