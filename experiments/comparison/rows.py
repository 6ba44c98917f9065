"""A row of the trilemma's table: how a trained system is sampled, on any data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from experiments.harness.generate import levels
from experiments.harness.samplers import predictor_corrector
from experiments.harness.system import Sampling, SDEModel, System
from jaxdiff import process
from jaxdiff.samplers import adaptive_ode, ancestral, dpmpp_2m
from jaxdiff.types import Array, Denoiser, Params, Score


class Trained(NamedTuple):
    """A trained system.

    config: of its run; minutes: of its training, over all resumptions; before: those of its teacher; scale: how many
    times as large as the data its samples are.
    """

    system: System
    params: Params
    config: Any
    minutes: float
    before: float = 0.0
    scale: float = 1.0


Plan = Callable[[Trained], tuple[System, Sampling]]
"""What is sampled, and how; 0 evaluations where they are counted on the way."""


class Row(NamedTuple):
    """label: in the table; plan: how what is trained is sampled.

    likelihood: whether bits/dim are of what this row draws; timing: whether nothing but its time is measured.
    """

    label: str
    plan: Plan
    likelihood: bool = False
    timing: bool = False


def own(num_steps: int) -> Plan:
    """Return the plan of the system's own sampler."""
    return lambda trained: (trained.system, trained.system.sampling(num_steps))


def solver_of_four(trained: Trained) -> tuple[System, Sampling]:
    """Plan EDM at as many evaluations as DDGAN at T = 4: a Heun step costs two, so DPM-Solver++(2M) takes the steps."""
    return trained.system, Sampling("dpmpp_2m", dpmpp_2m(), levels(trained.system.precond, 4), nfe=4)


def every_step(trained: Trained) -> tuple[System, Sampling]:
    """Plan ancestral sampling through all of the chain."""
    chain = trained.system.discrete_process
    assert chain is not None
    num_steps = len(chain.betas)
    asked = trained.system._replace(denoiser=chain.model)
    return asked, Sampling(
        "ancestral", ancestral(chain.reverse_kernel), trained.system.sampling(num_steps).sigmas, num_steps
    )


def adaptive(trained: Trained) -> tuple[System, Sampling]:
    """Plan the probability flow, at a tolerance of 1e-5."""
    sde_model = trained.system.sde_model
    assert sde_model is not None
    return trained.system, Sampling(
        "ode", adaptive_ode.adaptive(sde_model.sde), process.sde.grid(sde_model.sde, 2, sde_model.epsilon), nfe=0
    )


def corrected_generator(trained: Trained) -> tuple[System, Sampling]:
    """Plan PC sampling as if DDGAN's generator were a denoiser: what it costs on a network of the same size."""
    latent_dim = trained.system.latent_dim
    assert latent_dim is not None

    def denoiser(params: Params, labels: Array | None) -> Denoiser:
        generate: Any = trained.system.denoiser(params, labels)
        return lambda x, sigma: generate(x, sigma, jnp.zeros((x.shape[0], latent_dim), x.dtype))

    sampling = predictor_corrector(process.sde.vp(), 1e-3, snr=0.16, num_steps=1_000)
    return trained.system._replace(denoiser=denoiser, latent_dim=None), sampling


def sde_model_of(system: System, bins: int) -> SDEModel:
    """Return the system's SDE; EDM's flow is that of VE between its levels."""
    if system.sde_model is not None:
        return system.sde_model
    sigma_max, sigma_min = levels(system.precond, 2)[:2].tolist()
    sde = process.sde.ve(sigma_min, sigma_max)

    def score(params: Params, labels: Array | None) -> Score:
        return lambda x, t: process.reverse_sde.score(sde, system.denoiser(params, labels), x, t)

    return SDEModel(sde, score, bins, 1e-5)


def minutes(folder: Path, batch_size: int) -> float:
    """Sum minutes of training with compilation over the lines of metrics.jsonl, so that all resumptions count."""
    total, before = 0.0, 0
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        total += (line["step"] - before) * batch_size / line["images_per_second"]
        before = line["step"]
    return total / 60
