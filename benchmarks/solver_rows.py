"""Samplers on a mixture whose every model is exact, a row each, for `benchmarks.solver_error`; a new one is a new row.

A row says which sampler runs on which grid and what model it asks. `NOT_MEASURED` has the reasons for the others.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import gaussian_mixture, grids, process, samplers
from jaxdiff.gaussian_mixture import Mixture
from jaxdiff.grids import Grid
from jaxdiff.process import betas, respacing, reverse_kernel, schedules
from jaxdiff.samplers import Sampler
from jaxdiff.types import Array, Batch

LOW, HIGH = 0.002, 80.0
FLOW_STEPS = 64
"""Heun steps by which the exact consistency function follows the flow."""
FEW, MANY = (1, 2, 4), (4, 8, 16, 32, 64, 128, 256)
"""Evaluations: of networks that learned large steps, and of denoisers."""

VP, SUBVP, VE = process.sde.vp(), process.sde.subvp(), process.sde.ve()
PERTURBED = {"s_churn": 40, "s_min": 0.05, "s_max": 50, "s_noise": 1.003}
"""EDM's stochastic settings for ImageNet-64."""
NOT_MEASURED = {
    "impute": "a condition on the data, not another way down; any row can be wrapped",
    "correction": "keeps its level; measured inside `langevin`",
    "predictor_corrector": "what `langevin` is made of",
    "direct": "asks a network that draws x at the next level, of DDGAN's ablation",
}


def denoiser(mixture: Mixture) -> Callable[..., Batch]:
    """Return the posterior mean in closed form."""
    return partial(gaussian_mixture.denoiser, mixture)


def consistency_function(mixture: Mixture) -> Callable[..., Batch]:
    """Return the end of the flow's trajectory, by a fine solve from any level: exact to about 1e-3."""
    denoise = denoiser(mixture)

    def end(x: Batch, sigma: Array) -> Batch:
        levels = sigma * jnp.asarray(grids.ve(FLOW_STEPS, LOW / HIGH, 1.0))
        return samplers.sample(samplers.heun(), denoise, x, levels)

    return end


def x0_sampler(mixture: Mixture) -> Callable[..., Batch]:
    """Return a draw from p(x0 | x), whose latent [B, d + 1] chooses a component and a point of it."""

    def draw(x: Batch, sigma: Array, latent: Batch) -> Batch:
        means, weights, variances = (jnp.asarray(a, x.dtype) for a in mixture)
        squared, total = jnp.sum((x[:, None] - means[None]) ** 2, axis=2), variances + sigma**2
        log_joint = jnp.log(weights)[None] - squared / (2 * total)[None] - means.shape[1] / 2 * jnp.log(total)[None]
        reached = jnp.cumsum(jax.nn.softmax(log_joint, axis=1), axis=1)
        k = jnp.sum(reached[:, :-1] < jax.scipy.stats.norm.cdf(latent[:, :1]), axis=1)
        share = (variances / total)[k][:, None]
        return means[k] + share * (x - means[k]) + jnp.sqrt(share) * sigma * latent[:, 1:]

    return draw


class Row(NamedTuple):
    """A sampler, as it is usually run.

    call: how it is written; sampler(n), sigmas(n): for n steps; evaluations(n): what n steps cost
    family: of its grid, for tables; model(mixture): what it asks; network: the kind of that
    stochastic: whether it draws noise; counts: evaluations at which it is measured; least: fewest steps of its process
    """

    call: str
    sampler: Callable[[int], Sampler]
    grid: str = "karras"
    evaluations: Callable[[int], int] = lambda n: n
    stochastic: bool = False
    model: Callable[[Mixture], Callable[..., Batch]] = denoiser
    network: str = "Denoiser"
    counts: tuple[int, ...] = MANY
    least: int = 1

    def steps(self, evaluations: int) -> int | None:
        """Return the largest number of steps within a number of evaluations; None where there is none."""
        fitting = [n for n in range(self.least, evaluations + 1) if self.evaluations(n) <= evaluations]
        return max(fitting, default=None)


def chain(n: int) -> Grid:
    """Return n evenly spaced levels of DDPM's chain of 1,000 linear betas, then 0."""
    trained = betas.linear(1000)
    return betas.sigmas(respacing.respace(trained, respacing.evenly(1000, n)))


GRIDS: dict[str, Callable[[int], Grid]] = {
    "karras": lambda n: grids.karras(n, LOW, HIGH),
    "ve": lambda n: grids.ve(n, LOW, HIGH),
    "vp": lambda n: grids.vp(n, LOW, HIGH),
    "chain": chain,
    "sde VP": lambda n: process.sde.grid(VP, n),
    "sde sub-VP": lambda n: process.sde.grid(SUBVP, n),
    "sde VE": lambda n: process.sde.grid(VE, n, 1e-5),
    "time points": lambda n: samplers.time_points(np.geomspace(HIGH, LOW, n + 1)[1:-1].tolist(), LOW, HIGH),
    "DDGAN": lambda n: betas.sigmas(betas.vp(n)),
}


def twice(n: int) -> int:
    return 2 * n


def twice_but_last(n: int) -> int:
    return 2 * n - 1


def corrected(sde: process.sde.SDE) -> Sampler:
    """Return predictor-corrector sampling with the step size for a few dimensions."""
    predictor = samplers.predictor(sde, samplers.reverse_diffusion)
    return samplers.langevin(predictor, sde, step_size=samplers.annealed_step_size)


def noisy(call: str, sampler: Callable[[int], Sampler], grid: str, **rest: Any) -> Row:
    """Return a row of a stochastic sampler."""
    return Row(call, sampler, grid, stochastic=True, **rest)


VP_TIME = schedules.vp(*grids.vp_betas(LOW, HIGH))
ROWS = [
    Row("euler()", lambda n: samplers.euler()),
    Row("euler()", lambda n: samplers.euler(), "ve"),
    Row("euler()", lambda n: samplers.euler(), "chain"),
    Row("euler()", lambda n: samplers.euler(), "sde VE"),
    Row("heun()", lambda n: samplers.heun(), evaluations=twice_but_last),
    Row("heun()", lambda n: samplers.heun(), "ve", evaluations=twice_but_last),
    Row("dpm_2()", lambda n: samplers.dpm_2(), evaluations=twice),
    Row("dpmpp_2m()", lambda n: samplers.dpmpp_2m()),
    Row("dpmpp_2m()", lambda n: samplers.dpmpp_2m(), "ve"),
    Row("dpmpp_2m()", lambda n: samplers.dpmpp_2m(), "chain"),
    Row("dpmpp_2m()", lambda n: samplers.dpmpp_2m(), "sde VE"),
    Row(
        "ode(linear(), second_order_step(1 / 2))",
        lambda n: samplers.ode(schedules.linear(), samplers.second_order_step(0.5)),
        evaluations=twice_but_last,
    ),
    Row("ode(ve(), euler_step)", lambda n: samplers.ode(schedules.ve(), samplers.euler_step), "ve"),
    Row(
        "ode(variance_preserving(vp()))",
        lambda n: samplers.ode(schedules.variance_preserving(VP_TIME)),
        "vp",
        twice_but_last,
    ),
    Row(
        "predictor(vp(), reverse_diffusion_flow)",
        lambda n: samplers.predictor(VP, samplers.reverse_diffusion_flow),
        "sde VP",
        least=21,
    ),
    noisy("ddim(0.5)", lambda n: samplers.ddim(0.5), "chain"),
    noisy("ddim(1.0)", lambda n: samplers.ddim(1.0), "chain"),
    noisy("ddim(1.0)", lambda n: samplers.ddim(1.0), "karras"),
    noisy("ancestral()", lambda n: samplers.ancestral(), "chain"),
    noisy("ancestral(fixed(large))", lambda n: samplers.ancestral(reverse_kernel.fixed(reverse_kernel.large)), "chain"),
    noisy("churn(euler(), 40, 0.05, 50, 1.003)", lambda n: samplers.churn(samplers.euler(), **PERTURBED), "karras"),
    noisy(
        "churn(heun(), 40, 0.05, 50, 1.003)",
        lambda n: samplers.churn(samplers.heun(), **PERTURBED),
        "karras",
        evaluations=twice_but_last,
    ),
    noisy("predictor(vp(), euler_maruyama)", lambda n: samplers.predictor(VP, samplers.euler_maruyama), "sde VP"),
    noisy(
        "predictor(subvp(), euler_maruyama)", lambda n: samplers.predictor(SUBVP, samplers.euler_maruyama), "sde sub-VP"
    ),
    noisy(
        "predictor(vp(), reverse_diffusion)",
        lambda n: samplers.predictor(VP, samplers.reverse_diffusion),
        "sde VP",
        least=21,
    ),
    noisy(
        "predictor(vp(), ancestral_update)",
        lambda n: samplers.predictor(VP, samplers.ancestral_update),
        "sde VP",
        least=21,
    ),
    noisy("predictor(ve(), reverse_diffusion)", lambda n: samplers.predictor(VE, samplers.reverse_diffusion), "sde VE"),
    noisy("predictor(ve(), ancestral_update)", lambda n: samplers.predictor(VE, samplers.ancestral_update), "sde VE"),
    noisy(
        "langevin(predictor(vp(), reverse_diffusion), vp())",
        lambda n: corrected(VP),
        "sde VP",
        evaluations=twice,
        least=21,
    ),
    noisy("langevin(predictor(ve(), reverse_diffusion), ve())", lambda n: corrected(VE), "sde VE", evaluations=twice),
    Row("euler()", lambda n: samplers.euler(), counts=FEW),
    noisy(
        "consistency()",
        lambda n: samplers.consistency(LOW),
        "time points",
        model=consistency_function,
        network="ConsistencyFn",
        counts=FEW,
    ),
    noisy(
        "ddgan(3)",
        lambda n: samplers.ddgan(3),
        "DDGAN",
        model=x0_sampler,
        network="X0Sampler",
        counts=FEW,
    ),
]
