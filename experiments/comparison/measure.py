"""What the trilemma measures of a row on any data: samples, seconds, evaluations."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.harness import generate
from experiments.harness.system import Sampling, System
from jaxdiff import keys, probability_flow
from jaxdiff.types import Params

ASKED = 20
"""Evaluations in a row whose time is taken, so that what starts a program does not count."""


def samples(system: System, params: Params, sampling: Sampling, num: int, batch_size: int) -> np.ndarray:
    """Draw [num, ...] as the sampler leaves them; sample i is a function of seed i.

    Raises: FloatingPointError when one is not finite.
    """
    tqdm.write(sampling.name)
    request = generate.request(system, sampling, np.arange(num), batch_size)
    return np.concatenate(list(generate.draw_floats(system, params, request)))


def evaluations(system: System, params: Params, sampling: Sampling, num: int) -> float:
    """Count evaluations of the network for one sample; where the sampler chooses them, their mean over `num`."""
    if sampling.nfe:
        return sampling.nfe
    sde_model = system.sde_model
    assert sde_model is not None
    labels = generate.balanced_labels(np.arange(num), system.num_classes)
    x = jax.random.normal(keys.from_seed(0), (num, *system.shape)) * sde_model.sde.prior_std

    def count(params: Params, x: jax.Array) -> jax.Array:
        classes = None if labels is None else jnp.asarray(labels)
        return probability_flow.solve(
            sde_model.sde, sde_model.score(params, classes), x, 1.0, sde_model.epsilon
        ).num_evaluations

    return float(jnp.mean(jax.jit(count)(params, x))) + 1  # the last step, into sigma = 0


def timing(params: Params, system: System, sampling: Sampling, batch_size: int) -> dict[str, float]:
    """Measure seconds in the steady state, without compilation, one batch at a time.

    Returns: seconds_per_1000 samples; evaluation_per_1000, the seconds in which the network alone is asked once of
      1,000 samples, by the same batches.
    """
    asked = generate.request(system, sampling, np.arange(batch_size))
    seeds = jnp.asarray(asked.seeds, jnp.uint32)
    labels = None if asked.labels is None else jnp.asarray(asked.labels)
    drawing = generate.compile_batch(system, asked).lower(params, seeds, labels).compile()

    latent = () if system.latent_dim is None else (jnp.ones((batch_size, system.latent_dim)),)
    sigma = jnp.asarray(sampling.sigmas[0], jnp.float32)

    def ask(params: Params, x: jax.Array) -> jax.Array:
        model: Any = system.denoiser(params, labels)
        answer = lambda x, _: (jax.tree.leaves(model(x, sigma, *latent))[0], None)  # noqa: E731
        return jax.lax.scan(answer, x, length=ASKED)[0]

    given = params, jnp.ones((batch_size, *system.shape))
    asking = jax.jit(ask).lower(*given).compile()
    return {
        "seconds_per_1000": seconds(lambda: drawing(params, seeds, labels)) * 1_000 / batch_size,
        "evaluation_per_1000": seconds(lambda: asking(*given)) * 1_000 / batch_size / ASKED,
    }


def seconds(run: Callable[[], Any], enough: float = 2.0, most: int = 50) -> float:
    """Measure the median of several calls after one that is not counted; one call where it takes over `enough`."""
    taken: list[float] = []
    while not taken or (sum(taken) < enough and len(taken) < most):
        started = time.perf_counter()
        jax.block_until_ready(run())
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:] or taken))
