"""What the trilemma measures of a row on any data: samples, seconds, evaluations."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.comparison.rows import Trained
from experiments.harness import generate
from experiments.harness.system import Sampling, System
from jaxdiff import keys, probability_flow
from jaxdiff.types import Params

ASKED = 20
"""Evaluations in a row whose time is taken, so that what starts a program does not count."""


def request(system: System, sampling: Sampling, num: int) -> generate.Request:
    """Return the first seeds, with their classes."""
    seeds = np.arange(num)
    return generate.Request(
        sampling.sampler, sampling.sigmas, seeds, generate.balanced_labels(seeds, system.num_classes)
    )


def samples(system: System, params: Params, sampling: Sampling, num: int, batch_size: int) -> np.ndarray:
    """Draw [num, ...] as the sampler leaves them; sample i is a function of seed i.

    Raises: FloatingPointError when one is not finite.
    """
    asked = request(system, sampling, num)
    run = generate.compile_batch(system, asked)
    found = []
    for start in tqdm(range(0, num, batch_size), desc=sampling.name, unit="batch", disable=None):
        rows = np.arange(start, start + batch_size) % num
        labels = None if asked.labels is None else jnp.asarray(asked.labels[rows])
        found.append(np.asarray(run(params, jnp.asarray(asked.seeds[rows], jnp.uint32), labels))[: num - start])
    drawn = np.concatenate(found)
    if not np.isfinite(drawn).all():
        raise FloatingPointError(f"samples of {sampling.name} are not finite: the sampler broke off")
    return drawn


def evaluations(system: System, params: Params, sampling: Sampling, num: int) -> float:
    """Count evaluations of the network for one sample; where the sampler chooses them, their mean over `num`."""
    if sampling.nfe:
        return sampling.nfe
    sde_model = system.sde_model
    assert sde_model is not None
    labels = request(system, sampling, num).labels
    x = jax.random.normal(keys.from_seed(0), (num, *system.shape)) * sde_model.sde.prior_std

    def count(params: Params, x: jax.Array) -> jax.Array:
        classes = None if labels is None else jnp.asarray(labels)
        return probability_flow.solve(
            sde_model.sde, sde_model.score(params, classes), x, 1.0, sde_model.epsilon
        ).num_evaluations

    return float(jnp.mean(jax.jit(count)(params, x))) + 1  # the last step, into sigma = 0


def timing(trained: Trained, system: System, sampling: Sampling, batch_size: int) -> dict[str, float]:
    """Measure seconds in the steady state, without compilation, one batch at a time.

    Returns: seconds_per_1000 samples; evaluation_per_1000, the seconds in which the network alone is asked once of
      1,000 samples, by the same batches.
    """
    asked = request(system, sampling, batch_size)
    seeds = jnp.asarray(asked.seeds, jnp.uint32)
    labels = None if asked.labels is None else jnp.asarray(asked.labels)
    drawing = generate.compile_batch(system, asked).lower(trained.params, seeds, labels).compile()

    takes_latent = trained.latent_dim is not None and sampling.name == "ddgan"
    latent = (jnp.ones((batch_size, trained.latent_dim or 0)),) if takes_latent else ()
    sigma = jnp.asarray(sampling.sigmas[0], jnp.float32)

    def ask(params: Params, x: jax.Array) -> jax.Array:
        model: Any = system.denoiser(params, labels)
        answer = lambda x, _: (jax.tree.leaves(model(x, sigma, *latent))[0], None)  # noqa: E731
        return jax.lax.scan(answer, x, length=ASKED)[0]

    given = trained.params, jnp.ones((batch_size, *system.shape))
    asking = jax.jit(ask).lower(*given).compile()
    return {
        "seconds_per_1000": seconds(lambda: drawing(trained.params, seeds, labels)) * 1_000 / batch_size,
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
