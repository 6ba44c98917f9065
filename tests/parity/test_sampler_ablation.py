"""48 combinations of the EDM paper's ablation sampler (Alg. 1 and 3), with or without churn, and its step tables."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, grids
from jaxdiff.process import schedules
from jaxdiff.samplers import churn, euler_step, ode, sample, second_order_step
from tests.parity.edm_networks import CHURN, nearest, sampler_options
from tests.support import reference
from tests.support.tiers import first_of_a_kind

READS = ("edm/sampler_ablation_*.npz", "edm/sampler_tables.npz")
OF_THE_SAMPLER = ("solver", "schedule", "scaling", "alpha", *CHURN)
"""Arguments on which more depends than the grid."""
OF_THE_GRID = ("discretization", "epsilon_s", "C_1", "C_2", "M")


def every_case(pattern):
    return [(path, case) for path in reference.files(pattern) for case in reference.cases(reference.load(path))]


def read(arrays, case, kind):
    """(arguments of a case; its levels, rounded to those of the network's table if there is one; betas of VP)."""
    config = reference.only(
        reference.config(arrays, case), "kwargs", "net_sigma_min", "net_sigma_max", "uses_table", kind=(kind,)
    )
    kwargs, _ = sampler_options(config["kwargs"], *OF_THE_SAMPLER, *OF_THE_GRID)
    rounded = nearest(arrays["in/table"]) if config.get("uses_table") else (lambda sigma: sigma)
    sigmas, betas = grid(kwargs, config.get("net_sigma_min", 0.0), config.get("net_sigma_max", np.inf))
    return kwargs, np.append([rounded(sigma) for sigma in sigmas[:-1]], 0.0), betas


def grid(kwargs, sigma_low, sigma_high):
    """The levels of a recorded case; a network's limits narrow the range of every discretisation."""
    name, num_steps = kwargs.get("discretization", "edm"), kwargs.get("num_steps", 18)
    epsilon_s = kwargs.get("epsilon_s", 1e-3)
    vp_range = np.sqrt(np.expm1(0.5 * 19.9 * np.array([epsilon_s, 1.0]) ** 2 + 0.1 * np.array([epsilon_s, 1.0])))
    default = {"vp": vp_range, "ve": (0.02, 100), "iddpm": (0.002, 81), "edm": (0.002, 80)}[name]
    sigma_min = max(kwargs.get("sigma_min", default[0]), sigma_low)
    sigma_max = min(kwargs.get("sigma_max", default[1]), sigma_high)
    make = {
        "vp": lambda: grids.vp(num_steps, sigma_min, sigma_max, epsilon_s),
        "ve": lambda: grids.ve(num_steps, sigma_min, sigma_max),
        "iddpm": lambda: grids.iddpm(
            num_steps, sigma_min, sigma_max, kwargs.get("M", 1000), kwargs.get("C_1", 0.001), kwargs.get("C_2", 0.008)
        ),
        "edm": lambda: grids.karras(num_steps, sigma_min, sigma_max, kwargs.get("rho", 7)),
    }[name]
    return make(), grids.vp_betas(sigma_min, sigma_max, epsilon_s)


def schedule(kwargs, betas):
    made = {"vp": lambda: schedules.vp(*betas), "ve": schedules.ve, "linear": schedules.linear}[
        kwargs.get("schedule", "linear")
    ]()
    return {"vp": schedules.variance_preserving, "none": lambda made: made}[kwargs.get("scaling", "none")](made)


def sampler(kwargs, made, rounded):
    solver = {"euler": euler_step, "heun": second_order_step(kwargs.get("alpha", 1))}[kwargs.get("solver", "heun")]
    if not kwargs.get("S_churn"):
        return ode(made, solver)
    churned = {ours: kwargs[theirs] for theirs, ours in CHURN.items() if theirs in kwargs}
    return churn(ode(made, solver), **churned, round_sigma=rounded)


@cache
def program(path, betas, uses_table, **kwargs):
    """(run(x, sigmas, noise), the list that its calls go to), compiled once for all grids: they are its argument."""
    arrays, calls = reference.load(path), []
    mixture = gaussian_mixture.Mixture(
        *(arrays[f"mixture/{name}"].astype(np.float64) for name in ("means", "weights", "var"))
    )

    def denoise(x, sigma):
        jax.debug.callback(lambda *call: calls.append(call), x, sigma, ordered=True)
        return gaussian_mixture.denoiser(mixture, x, sigma)

    rounded = nearest(arrays["in/table"]) if uses_table else (lambda sigma: sigma)
    made = sampler(kwargs, schedule(kwargs, betas), rounded)
    return jax.jit(lambda x, sigmas, noise: sample(made, denoise, x, sigmas, noise=noise)), calls


def kind(path, case):
    """Cases are cheap but for VP's schedule, whose betas follow the grid: each is a program of its own."""
    kwargs = reference.config(reference.load(path), case)["kwargs"]
    of_sampler = tuple((name, value) for name, value in kwargs.items() if name in OF_THE_SAMPLER)
    return path, of_sampler if kwargs.get("schedule") == "vp" else case


@pytest.mark.parametrize(
    ("path", "case"),
    first_of_a_kind(every_case("edm/sampler_ablation_*.npz"), kind),
    ids=lambda v: getattr(v, "stem", v),
)
def test_ablation_sampler(path, case, x64):
    arrays = reference.load(path)
    kwargs, sigmas, betas = read(arrays, case, "ablation_sampler")
    made = schedule(kwargs, betas)
    np.testing.assert_allclose(made.sigma_inv(sigmas), arrays[f"{case}/out/t_steps"], rtol=1e-8, atol=1e-12)

    asked = {name: kwargs[name] for name in OF_THE_SAMPLER if name in kwargs}
    uses_table = reference.config(arrays, case)["uses_table"]
    run, calls = program(path, betas if asked.get("schedule") == "vp" else None, uses_table, **asked)
    calls.clear()
    grids.check(sigmas)
    noise = (jnp.asarray(arrays["in/noise"], jnp.float64), ()) if kwargs.get("S_churn") else None
    x = sigmas[0] * jnp.asarray(arrays["in/latents"], jnp.float64)
    out = jax.block_until_ready(run(x, sigmas, noise))
    jax.effects_barrier()
    # 1e-8 for the VP schedule, whose recorded levels lose digits at small times (tests/reference/edm/README.md).
    rtol = 1e-8 if "vp" in (kwargs.get("discretization"), kwargs.get("schedule")) else 1e-9
    expected = arrays[f"{case}/out/final"]
    np.testing.assert_allclose(out, expected, rtol=0, atol=rtol * np.abs(expected).max())
    if f"{case}/out/net_x" in arrays:
        np.testing.assert_allclose([sigma for _, sigma in calls], arrays[f"{case}/out/net_sigma"], rtol=1e-8)
        expected = arrays[f"{case}/out/net_x"]
        np.testing.assert_allclose([x for x, _ in calls], expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize(("path", "case"), every_case("edm/sampler_tables.npz"), ids=lambda v: getattr(v, "stem", v))
def test_tables(path, case, x64):
    arrays = reference.load(path)
    kwargs, sigmas, betas = read(arrays, case, "step_table")
    np.testing.assert_allclose(sigmas[:-1], arrays[f"{case}/out/sigma_steps"], rtol=1e-9)
    np.testing.assert_allclose(betas, [arrays[f"{case}/out/vp_beta_d"], arrays[f"{case}/out/vp_beta_min"]], rtol=1e-9)
    times = schedule(kwargs, betas).sigma_inv(sigmas)
    np.testing.assert_allclose(times, arrays[f"{case}/out/t_steps"], rtol=1e-8)
