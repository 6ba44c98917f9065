"""However few the steps, sampling starts at the noisiest level of the training, or is refused."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import EXPERIMENTS, sample
from experiments.harness import generate
from experiments.harness.samplers import SAMPLERS, choose
from experiments.systems import ddgan, ddpm
from jaxdiff import grids, precond, process, samplers
from jaxdiff.process import respacing
from jaxdiff.samplers.predictors import reverse_diffusion

CHAIN = process.betas.linear(1000)
MAKERS = {
    "karras": grids.karras,
    "vp": grids.vp,
    "ve": grids.ve,
    "iddpm": grids.iddpm,
    "sde-vp": lambda n: process.sde.grid(process.sde.vp(), n),
    "sde-subvp": lambda n: process.sde.grid(process.sde.subvp(), n),
    "sde-ve": lambda n: process.sde.grid(process.sde.ve(), n),
    "evenly": lambda n: process.betas.sigmas(respacing.respace(CHAIN, respacing.evenly(1000, n))),
    "ddgan": lambda n: process.betas.sigmas(process.betas.vp(n)),
    "geometric": lambda n: process.betas.sigmas(process.betas.geometric(n, 0.01, 0.99)),
    "time_points": lambda n: samplers.time_points(np.geomspace(80, 0.002, n + 1)[1:-1].tolist()),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_grid_starts_at_the_noisiest_level(make):
    highest = make(50)[0]
    for num_steps in (1, 2, 3):
        sigmas = make(num_steps)
        assert len(sigmas) == num_steps + 1
        np.testing.assert_allclose(sigmas[0], highest, rtol=1e-12)


LEVELS = {
    "iddpm": (precond.iddpm(), 100),
    "linear": (precond.ddpm.eps(process.betas.linear(40)), 18),
    "cosine": (precond.ddpm.eps(process.betas.cosine(4)), 18),
    "edm": (precond.edm(), 18),
}


@pytest.mark.parametrize(("row", "num_steps"), LEVELS.values(), ids=LEVELS)
def test_levels_are_those_of_the_network_each_once(row, num_steps):
    """EDM's sampler goes from a level to itself where two steps round alike, which does nothing."""
    sigmas = generate.levels(row, num_steps)
    asked = grids.karras(num_steps, max(0.002, row.sigma_min), min(80.0, row.sigma_max))[:-1]
    known = {float(row.round_sigma(jnp.asarray(sigma, jnp.float32))) for sigma in asked}
    assert sorted(known, reverse=True) == sigmas[:-1].tolist()
    grids.check(sigmas, np.float32)
    assert generate.edm_sampling(row, num_steps).nfe == 2 * len(known) - 1


def test_a_range_without_levels_is_refused():
    with pytest.raises(ValueError, match=r"sigma_min=90, sigma_max=100: the network is defined at levels 0.02 to 80"):
        generate.levels(precond.ve(sigma_max=80.0), 4, 90, 100)


def test_a_class_of_a_model_without_classes_is_refused():
    with pytest.raises(ValueError, match="--label 1: this model was trained without classes"):
        sample.labels_of(sample.Config(label=1), np.arange(3), 0)
    with pytest.raises(ValueError, match="--label must be 0 to 1, the classes of this model, got 7"):
        sample.labels_of(sample.Config(label=7), np.arange(3), 2)
    assert sample.labels_of(sample.Config(), np.arange(3), 2).tolist() == [0, 1, 0]


def test_one_step_of_a_chain_is_its_noisiest():
    """Of betas that rise, and of SMLD's: the variances of its n steps add up to sigma_max^2."""
    assert process.betas.quadratic(1)[0] == process.betas.quadratic(50)[-1]
    assert process.sde.vp(0.1, 0.9).step(np.ones(()), 1)[1] == np.sqrt(0.9)
    for num_steps in (1, 2, 7):
        times = np.arange(num_steps) / max(num_steps - 1, 1)
        added = sum(process.sde.ve(0.01, 50.0).step(t, num_steps)[1] ** 2 for t in times)
        np.testing.assert_allclose(added, 50.0**2, rtol=1e-9)


def test_one_step_is_the_denoised_prior():
    """x + sigma^2 score = D(x, sigma_max), whichever way Euler, DDIM and VE's reverse diffusion write it."""
    asked = []

    def denoise(x, sigma):
        asked.append(float(sigma))
        return 2 + x / (1 + sigma**2)

    ve, x = process.sde.ve(), jnp.ones((1, 2))
    plan = ddpm.ddim_sampling(CHAIN, 0.0, 1)
    for sampler, sigmas in (
        (plan.sampler, plan.sigmas),
        (samplers.euler(), process.sde.grid(ve, 1)),
        (samplers.predictor(ve, reverse_diffusion), process.sde.grid(ve, 1)),
    ):
        with jax.disable_jit():
            out = samplers.sample(sampler, denoise, sigmas[0] * x, sigmas, noise=jnp.zeros((1, 1, 2)))
        np.testing.assert_allclose(asked.pop(), sigmas[0], rtol=1e-6)
        np.testing.assert_allclose(out, 2 + sigmas[0] / (1 + sigmas[0] ** 2) * x, rtol=1e-4)


def config_of(name):
    module = importlib.import_module(f"experiments.{name}")
    options = {"method": "ct"} if name.startswith("consistency") else {}
    return module, module.EXPERIMENT.resolve(module.Config(**options))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_system_starts_at_the_noisiest_level(name, tiny_networks):
    """By its own sampler and by all that `experiments.sample` has for its runs; else one line says why not."""
    module, config = config_of(name)
    system = module.system(config)
    highest = system.sampling(config.num_steps).sigmas[0]
    refused = []
    for sampler in SAMPLERS:
        for num_steps in (1, 2):
            try:
                _, sigmas = choose(sample.Config(sampler=sampler), system, num_steps)
            except ValueError:
                refused.append(sampler)
                continue
            # Other grids than the run's own end at 80, unless the network knows less.
            assert sigmas[0] >= 0.999999 * (highest if sampler == "own" else min(highest, 80.0))
    if not isinstance(config, ddgan.DDGAN):
        assert set(refused) <= {"own", "pc"}, "VP's chain alone is too short"
