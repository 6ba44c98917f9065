"""Euler's step of the probability flow in an SDE's time, an `Update` of `jaxdiff.samplers.predictors`."""

import jax.numpy as jnp

from jaxdiff import process


def euler_flow(sde, x, t, score, num_steps):
    """x - (f x - g^2 score / 2) / N, without noise."""
    return x - process.reverse_sde.reverse_drift(sde, score, x, t, share=0.5) / num_steps, jnp.zeros_like(t)
