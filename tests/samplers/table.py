"""One row a sampler; every test of samplers walks this table. A new sampler is a new row."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from jaxdiff import gaussian_mixture, grids, samplers
from jaxdiff.grids import Grid
from jaxdiff.process import reverse_kernel, schedules, sde
from jaxdiff.samplers import Sampler, langevin, predictor
from jaxdiff.samplers.langevin import annealed_step_size
from jaxdiff.samplers.predictors import ancestral_update, euler_maruyama, reverse_diffusion
from jaxdiff.types import Denoiser


def gaussian_denoiser(mean: float, variance: float) -> Denoiser:
    """E[x0 | x] for x0 ~ N(mean, variance), in one dimension."""
    return partial(gaussian_mixture.denoiser, gaussian_mixture.mixture([[mean]], variances=variance))


def gaussian_consistency(sigma_min: float) -> Callable[[float, float], Denoiser]:
    """The end at sigma_min of the trajectory through x, along which (x - mean) / sqrt(variance + sigma^2) stays."""

    def model(mean: float, variance: float) -> Denoiser:
        return lambda x, sigma: mean + np.sqrt(variance + sigma_min**2) / (variance + sigma**2) ** 0.5 * (x - mean)

    return model


@dataclass(frozen=True)
class Row:
    """What is claimed of a sampler.

    Attributes:
      make: its constructor.
      nfe: evaluations for n steps on a grid that ends at 0.
      order: order of convergence to the ODE's solution, None where it does not follow the ODE.
      stochastic: whether it draws noise.
      grid: of n steps, for a sampler that is tied to one.
      model: what it is given for x0 ~ N(mean, variance).
    """

    name: str
    make: Callable[[], Sampler]
    nfe: Callable[[int], int]
    order: int | None
    stochastic: bool = False
    grid: Callable[[int], Grid] = lambda n: grids.karras(n, sigma_min=0.01, sigma_max=20.0)
    model: Callable[[float, float], Denoiser] = gaussian_denoiser


# A chain of N steps needs N > beta_max, and some tests take one step.
VP, SUBVP, VE = sde.vp(beta_max=0.9), sde.subvp(beta_max=0.9), sde.ve()


def on_own_grid(name: str, process: sde.SDE, make: Callable[[], Sampler], nfe: Callable[[int], int]) -> Row:
    """A row of a sampler that steps equally in an SDE's time."""
    return Row(name, make, nfe, order=None, stochastic=True, grid=lambda n: sde.grid(process, n))


def of_a_denoiser(sampler: Sampler) -> Sampler:
    """A sampler that asks an X0Sampler, given a denoiser, which leaves the latent aside."""

    def step(denoise, *rest):
        return sampler.step(lambda x, sigma, latent: denoise(x, sigma), *rest)

    return sampler._replace(step=step)


TABLE = [
    on_own_grid("euler_maruyama_subvp", SUBVP, lambda: predictor(SUBVP, euler_maruyama), nfe=lambda n: n),
    on_own_grid("reverse_diffusion_vp", VP, lambda: predictor(VP, reverse_diffusion), nfe=lambda n: n),
    on_own_grid("ancestral_ve", VE, lambda: predictor(VE, ancestral_update), nfe=lambda n: n),
    on_own_grid(
        "pc_vp",
        VP,
        lambda: langevin(predictor(VP, reverse_diffusion), VP, step_size=annealed_step_size),
        nfe=lambda n: 2 * n,
    ),
    on_own_grid(
        "pc_ve_twice",
        VE,
        lambda: langevin(predictor(VE, reverse_diffusion), VE, num_steps=2, step_size=annealed_step_size),
        nfe=lambda n: 3 * n,
    ),
    Row("euler", samplers.euler, nfe=lambda n: n, order=1),
    Row("heun", samplers.heun, nfe=lambda n: 2 * n - 1, order=2),
    Row("dpm_2", samplers.dpm_2, nfe=lambda n: 2 * n, order=2),
    Row("dpmpp_2m", samplers.dpmpp_2m, nfe=lambda n: n, order=2),
    Row("ode_linear", lambda: samplers.ode(schedules.linear()), nfe=lambda n: 2 * n - 1, order=2),
    Row(
        "ode_vp_midpoint",
        lambda: samplers.ode(schedules.variance_preserving(schedules.vp()), samplers.second_order_step(0.5)),
        nfe=lambda n: 2 * n - 1,
        order=2,
    ),
    Row("ode_ve_euler", lambda: samplers.ode(schedules.ve(), samplers.euler_step), nfe=lambda n: n, order=1),
    Row("ancestral_small", samplers.ancestral, nfe=lambda n: n, order=None, stochastic=True),
    Row(
        "ancestral_large",
        lambda: samplers.ancestral(reverse_kernel.fixed(reverse_kernel.large)),
        nfe=lambda n: n,
        order=None,
        stochastic=True,
    ),
    Row(
        "consistency",
        samplers.consistency,
        nfe=lambda n: n,
        order=None,
        stochastic=True,
        model=gaussian_consistency(0.002),
    ),
    Row(
        "consistency_to_zero",
        lambda: samplers.consistency(0.0),
        nfe=lambda n: n,
        order=None,
        stochastic=True,
        model=gaussian_consistency(0.0),
    ),
    Row("ddim_half", lambda: samplers.ddim(0.5), nfe=lambda n: n, order=None, stochastic=True),
    Row("ddim_one", lambda: samplers.ddim(1.0), nfe=lambda n: n, order=None, stochastic=True),
    Row("ddgan", lambda: of_a_denoiser(samplers.ddgan(3)), nfe=lambda n: n, order=None, stochastic=True),
    Row("churn_euler", lambda: samplers.churn(samplers.euler(), 5), nfe=lambda n: n, order=None, stochastic=True),
    Row(
        "churn_heun",
        lambda: samplers.churn(samplers.heun(), 10, s_min=0.05, s_max=50, s_noise=1.0),
        nfe=lambda n: 2 * n - 1,
        order=None,
        stochastic=True,
    ),
]
