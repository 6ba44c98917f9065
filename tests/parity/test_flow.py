"""The probability flow's ends and likelihoods against recorded ones, and against the mixture's own density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import flow, toy
from jaxdiff import sde as sdes
from jaxdiff.losses.likelihood import density_bits_per_dim
from jaxdiff.samplers import predictors
from tests.parity.score_sde import float64, mixture_of, score_of, sde_of
from tests.support import reference
from tests.support.arrays import close
from tests.support.tiers import by, first_of_a_kind

READS = ("score_sde/ode_*.npz",)
TIGHT = flow.Tolerance(1e-11, 1e-11, solver=flow.diffrax.Dopri8())


def cases(kind):
    for path in reference.files(*READS):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            if reference.config(arrays, case)["kind"] == kind:
                yield pytest.param(reference.subset(arrays, case), reference.config(arrays, case), id=case)


@pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(cases("ode_sample"), by()))
def test_samples(arrays, config, x64):
    sde = sde_of(config)
    score, start = score_of(arrays, sde), sde.prior_std * float64(arrays["in/prior_noise"])
    found = jax.jit(lambda x: flow.solve(sde, score, x, 1.0, config["eps"], TIGHT))(start)
    assert bool(jnp.all(found.solved))
    scaled = (lambda x: (x + 1) / 2) if config["inverse_scaler"] == "half" else (lambda x: x)
    close(found.x, arrays["out/x_at_eps_raw"], 1e-8)
    close(scaled(found.x), arrays["out/samples"], 1e-8)
    t = jnp.full(start.shape[0], config["eps"])
    mean, _ = predictors.reverse_diffusion(sde, found.x, t, score(found.x, t), config["N"])
    close(scaled(mean), arrays["out/samples_denoised"], 1e-8)


@pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(cases("likelihood"), by()))
def test_likelihood(arrays, config, x64):
    sde = sde_of(config)
    score, x = score_of(arrays, sde), float64(arrays["in/x"])
    recorded = reference.subset(arrays, "out")

    def likelihood(divergence):
        return jax.jit(lambda probes: flow.log_likelihood(sde, score, x, divergence, probes, config["eps"], TIGHT))

    exact, hutchinson = likelihood(flow.exact)(None), likelihood(flow.hutchinson)
    close(exact.z, recorded["z"], 1e-8)
    close(exact.prior, recorded["prior_logp"], 1e-8)
    width = 2.0 if config["bpd_offset"] == 7 else 1.0
    found = {"exact_trace": exact}
    for name in ("rademacher", "gaussian"):
        found[name] = hutchinson(float64(arrays[f"in/epsilon_{name}"])[:, None])
    for name, result in found.items():
        close(result.change, recorded[f"delta_logp_{name}"], 1e-8)
        close(density_bits_per_dim(result.log_prob, config["dim"], 256, width), recorded[f"bpd_{name}"], 1e-8)

    flat, epsilon = mixture_of(arrays), np.asarray(config["eps"])

    def log_density(x, t):
        a = sde.a(t)
        return toy.log_density(flat, x.reshape(x.shape[0], -1) / a, sde.std(t) / a) - x[0].size * np.log(a)

    at_start, at_end = log_density(x, epsilon), log_density(exact.z, np.asarray(1.0))
    close(toy.log_density(flat, x.reshape(x.shape[0], -1)), recorded["mixture_logp_at_0"])
    close(at_start, recorded["mixture_logp_at_eps"], 1e-8)
    close(at_end, recorded["mixture_logp_at_T_of_z"], 1e-8)
    close(at_end + exact.change, at_start, 1e-8)


@pytest.mark.parametrize(("arrays", "config"), list(cases("likelihood")))
def test_drift_and_divergence(arrays, config, x64):
    sde = sde_of(config)
    score, x, t = score_of(arrays, sde), float64(arrays["in/point_x"]), float64(arrays["in/point_t"])

    def at(divergence):
        return jax.jit(lambda probes: divergence(lambda y: flow.drift(sde, score, y, t), x, probes))

    (value, trace), hutchinson = at(flow.exact)(x[:, None]), at(flow.hutchinson)
    close(value, arrays["out/point_drift"], 1e-8)
    close(trace, arrays["out/point_div_exact"], 1e-8)
    for name in ("rademacher", "gaussian"):
        _, estimate = hutchinson(float64(arrays[f"in/epsilon_{name}"])[:, None])
        close(estimate, arrays[f"out/point_div_{name}"], 1e-8)


def test_the_state_of_rest_is_a_normal():
    """N(0, 1) is VP's fixed point, in float32 at the default tolerance."""
    found = flow.log_likelihood(sdes.vp(), lambda x, t: -x, jnp.ones((3, 2)), flow.exact)
    np.testing.assert_allclose(found.log_prob, -np.log(2 * np.pi) - 1, atol=1e-4)
