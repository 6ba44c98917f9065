"""The rows of the trilemma's table: which system, and how it is sampled, on any data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from experiments import draw, score_sde
from experiments.system import Continuous, Sampling, System
from jaxdiff import flow
from jaxdiff import sde as sdes
from jaxdiff.samplers import ancestral, dpmpp_2m
from jaxdiff.types import Array, Denoiser, Params


class Trained(NamedTuple):
    """A trained system.

    config: of its run; minutes: of its training, over all resumptions; before: those of its teacher.
    """

    system: System
    params: Params
    config: Any
    minutes: float
    before: float = 0.0

    @property
    def latent_dim(self) -> int | None:
        """Numbers in a latent, None where the network takes none."""
        return getattr(self.config, "latent_dim", None)


Plan = Callable[[Trained], tuple[System, Sampling]]
"""What is sampled, and how; 0 evaluations where they are counted on the way."""


class Row(NamedTuple):
    """label: in the table; family: the system that is trained; plan: how it is sampled.

    likelihood: whether bits/dim are of what this row draws; timing: whether nothing but its time is measured.
    """

    label: str
    family: str
    plan: Plan
    likelihood: bool = False
    timing: bool = False


def own(num_steps: int) -> Plan:
    """The system's own sampler."""
    return lambda trained: (trained.system, trained.system.sampling(num_steps))


def solver_of_four(trained: Trained) -> tuple[System, Sampling]:
    """EDM at as many evaluations as DDGAN at T = 4: a Heun step costs two, so DPM-Solver++(2M) takes the four steps."""
    return trained.system, Sampling("dpmpp_2m", dpmpp_2m(), draw.levels(trained.system.precond, 4), nfe=4)


def every_step(trained: Trained) -> tuple[System, Sampling]:
    """Ancestral sampling through all of the chain."""
    chain = trained.system.chain
    assert chain is not None
    num_steps = len(chain.betas)
    asked = trained.system._replace(denoiser=chain.model)
    return asked, Sampling("ancestral", ancestral(chain.reverse), trained.system.sampling(num_steps).sigmas, num_steps)


def adaptive(trained: Trained) -> tuple[System, Sampling]:
    """The probability flow, at a tolerance of 1e-5."""
    along = trained.system.continuous
    assert along is not None
    return trained.system, Sampling("ode", flow.adaptive(along.sde), sdes.grid(along.sde, 2, along.epsilon), nfe=0)


def corrected_generator(trained: Trained) -> tuple[System, Sampling]:
    """PC sampling as if DDGAN's generator were a denoiser: what the sampler costs on a network of the same size."""

    def denoiser(params: Params, labels: Array | None) -> Denoiser:
        generate: Any = trained.system.denoiser(params, labels)
        return lambda x, sigma: generate(x, sigma, jnp.zeros((x.shape[0], trained.latent_dim or 0), x.dtype))

    sampling = score_sde.predictor_corrector(sdes.vp(), 1e-3, snr=0.16, num_steps=1_000)
    return trained.system._replace(denoiser=denoiser), sampling


ROWS = {
    "edm-heun-18": Row("EDM Heun-18", "edm", own(18), likelihood=True),
    "edm-dpmpp-4": Row("EDM DPM-Solver++-4", "edm", solver_of_four),
    "ddpm-ancestral-1000": Row("DDPM ancestral-1000", "ddpm", every_step, likelihood=True),
    "ddim-50": Row("DDIM-50", "ddpm", own(50)),
    "pc-2000": Row("PC-2000", "score_sde", own(1_000)),
    "ode": Row("ODE adaptive", "score_sde", adaptive, likelihood=True),
    "cd-1": Row("CD, 1 step", "cd", own(1)),
    "cd-2": Row("CD, 2 steps", "cd", own(2)),
    "ect": Row("ECT, 1 step", "ect", own(1)),
    "sct": Row("sCT, 1 step", "sct", own(1)),
    **{f"ddgan-{t}": Row(f"DDGAN T = {t}", f"ddgan_{t}", own(t)) for t in (1, 2, 4, 8)},
    "pc-2000-on-ddgan": Row("PC-2000 on DDGAN's network", "ddgan_4", corrected_generator, timing=True),
}


def chosen(only: tuple[str, ...]) -> dict[str, Row]:
    """The rows that were asked for, all where none is named.

    Raises: ValueError for a row that there is not.
    """
    unknown = [name for name in only if name not in ROWS]
    if unknown:
        raise ValueError(f"only has unknown rows {', '.join(unknown)}; known are {', '.join(ROWS)}")
    return {name: row for name, row in ROWS.items() if not only or name in only}


def continuous_of(system: System, bins: int) -> Continuous:
    """The system's SDE; EDM's flow is that of VE between its levels."""
    if system.continuous is not None:
        return system.continuous
    sigma_max, sigma_min = draw.levels(system.precond, 2)[:2].tolist()
    sde = sdes.ve(sigma_min, sigma_max)

    def score(params: Params, labels: Array | None) -> flow.Score:
        return lambda x, t: sdes.score(sde, system.denoiser(params, labels), x, t)

    return Continuous(sde, score, bins, 1e-5)


def minutes(folder: Path, batch_size: int) -> float:
    """Of training with compilation, by the lines of metrics.jsonl, so that all resumptions count."""
    total, before = 0.0, 0
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        total += (line["step"] - before) * batch_size / line["images_per_second"]
        before = line["step"]
    return total / 60
