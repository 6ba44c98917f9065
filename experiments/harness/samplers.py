"""The samplers of experiments.sample, one row each, from which its flag, its help and its refusals follow."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from experiments.harness import generate
from experiments.harness.system import Sampling, System
from jaxdiff import process, samplers
from jaxdiff.grids import Grid
from jaxdiff.process.sde import SDE
from jaxdiff.samplers import Sampler, langevin, predictor
from jaxdiff.samplers.predictors import reverse_diffusion

Flags = Any
"""The config of experiments.sample, of which a row reads what it needs."""


class Row(NamedTuple):
    """One sampler.

    sampler(flags, system, n) -> the sampler; levels(flags, system, n) -> its default levels
    about, evaluations: what it is, and how often n steps evaluate the network, for --help
    fixed: whether its levels are the only ones; reverse_kernel: whether it asks the model of a chain's reverse steps,
    where there is a chain, instead of the denoiser
    """

    sampler: Callable[[Flags, System, int], Sampler]
    levels: Callable[[Flags, System, int], Grid]
    about: str
    evaluations: str = "n"
    fixed: bool = False
    reverse_kernel: bool = False


def own(flags: Flags, system: System, n: int) -> Grid:
    """Return the levels of the system's own sampler."""
    return system.sampling(n).sigmas


def karras(flags: Flags, system: System, n: int) -> Grid:
    """Return the Karras grid between the levels that the flags name."""
    return generate.levels(system.precond, n, flags.sigma_min, flags.sigma_max, flags.rho)


def chain(flags: Flags, system: System, n: int) -> Grid:
    """Return evenly spaced steps of the chain.

    Raises: ValueError when the system has none.
    """
    if system.discrete_process is None:
        raise ValueError("grid chain: this run was not trained on a chain of steps, use karras")
    return system.sampling(n).sigmas


def chain_or_karras(flags: Flags, system: System, n: int) -> Grid:
    """Return steps of the chain where there is one, else the Karras grid."""
    return (chain if system.discrete_process else karras)(flags, system, n)


def along(flags: Flags, system: System) -> tuple[SDE, float]:
    """Return the system's SDE and its last time in sampling; VE between the flags' levels where it has none."""
    if system.sde_model is not None:
        return system.sde_model.sde, system.sde_model.epsilon
    sigma_max, sigma_min = generate.levels(system.precond, 2, flags.sigma_min, flags.sigma_max)[:2].tolist()
    return process.sde.ve(sigma_min, sigma_max), 1e-5


def predictor_corrector(sde: SDE, epsilon: float, snr: float, num_steps: int) -> Sampling:
    """Reverse diffusion with one Langevin correction a step: Song et al. 2021, Algorithms 2 and 3."""
    sampler = langevin(predictor(sde, reverse_diffusion), sde, snr)
    grid = process.sde.grid(sde, num_steps, epsilon)
    sde.step(np.ones(()), num_steps)  # for what it refuses: VP's chain needs more steps than beta_max
    return Sampling("predictor_corrector", sampler, grid, nfe=2 * num_steps)


def corrected(flags: Flags, system: System, n: int) -> Sampling:
    """Return predictor-corrector sampling along the system's SDE."""
    return predictor_corrector(*along(flags, system), flags.snr, n)


def churn(flags: Flags, system: System, n: int) -> Sampler:
    """Return Heun's method with added noise."""
    limits = flags.s_churn, flags.s_min, flags.s_max, flags.s_noise
    return samplers.churn(samplers.heun(), *limits, round_sigma=system.precond.round_sigma)


def ancestral(flags: Flags, system: System, n: int) -> Sampler:
    """Return ancestral sampling by the reverse kernel of the chain, the posterior's where there is none."""
    return samplers.ancestral(system.discrete_process.reverse_kernel if system.discrete_process else None)


def ode(flags: Flags, system: System, n: int) -> Sampler:
    """Return the adaptive solver of the probability flow."""
    from jaxdiff import probability_flow  # diffrax is slow to import
    from jaxdiff.samplers import adaptive_ode

    tolerance = probability_flow.Tolerance(flags.tolerance, flags.tolerance)
    probability_flow.check_tolerance(tolerance, np.float32)
    return adaptive_ode.adaptive(along(flags, system)[0], tolerance)


def ends(flags: Flags, system: System, n: int) -> Grid:
    """Return the first and the last level of the flow."""
    sde, epsilon = along(flags, system)
    return process.sde.grid(sde, 2, epsilon)


SDE_OR_VE = "along the run's SDE, or VE where it has none"
SAMPLERS: dict[str, Row] = {
    "own": Row(
        lambda flags, system, n: system.sampling(n).sampler,
        own,
        "what the run itself uses",
        "as its sampler does",
    ),
    "euler": Row(lambda *_: samplers.euler(), chain_or_karras, "Euler's method"),
    "heun": Row(lambda *_: samplers.heun(), karras, "Alg. 1 of the EDM paper", "2 n - 1"),
    "dpmpp_2m": Row(lambda *_: samplers.dpmpp_2m(), karras, "DPM-Solver++(2M)"),
    "heun_churn": Row(churn, karras, "its stochastic Alg. 2", "2 n - 1"),
    "ddim": Row(lambda flags, *_: samplers.ddim(flags.eta), chain_or_karras, "DDIM, with a share --eta of noise"),
    "ancestral": Row(ancestral, chain_or_karras, "DDPM's reverse steps", reverse_kernel=True),
    "pc": Row(
        lambda flags, system, n: corrected(flags, system, n).sampler,
        lambda flags, system, n: corrected(flags, system, n).sigmas,
        f"predictor-corrector sampling {SDE_OR_VE}",
        "2 n",
        fixed=True,
    ),
    "ode": Row(ode, ends, f"the adaptive probability flow {SDE_OR_VE}", "as its tolerance asks", fixed=True),
}
"""To offer a sampler, add its row."""
GRIDS: dict[str, Callable[[Flags, System, int], Grid]] = {"chain": chain, "karras": karras}
HELP = "; ".join(f"{name}: {row.about}" for name, row in SAMPLERS.items()) + "."
COST = ", ".join(f"{name} {row.evaluations}" for name, row in SAMPLERS.items())
STEPS = f"Steps n; without it, the run's own number. Evaluations: {COST}."


def choose(flags: Flags, system: System, num_steps: int) -> tuple[Sampler, Grid]:
    """Return the sampler and the levels that the flags name.

    Raises: ValueError when the system cannot be sampled so.
    """
    if system.latent_dim is not None and (flags.sampler, flags.grid) != ("own", "auto"):
        raise ValueError(
            f"sampler {flags.sampler}, grid {flags.grid}: a DDGAN's network draws x0 and is no denoiser; it has one "
            "sampler, own, on its own chain"
        )
    row = SAMPLERS[flags.sampler]
    levels = row.levels if row.fixed else GRIDS.get(flags.grid, row.levels)
    return row.sampler(flags, system, num_steps), levels(flags, system, num_steps)
