"""The probability flow's ends and likelihoods against recorded ones, and against the mixture's own density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, likelihood, probability_flow, process
from jaxdiff.losses.bits import density_bits_per_dim
from jaxdiff.samplers import predictors
from tests.parity.score_sde import float64, mixture_of, score_of, sde_of, unscaled
from tests.parity.score_sde_cases import cases
from tests.support.arrays import close

READS = ("score_sde/ode_*.npz", "score_sde/likelihood*.npz")
TIGHT = probability_flow.Tolerance(1e-11, 1e-11, solver=probability_flow.diffrax.Dopri8())
INFORMATION = ("_rk45_tol1e-5", "_default")
"""What the authors' own tolerance gave."""


@pytest.mark.parametrize("case", cases(*READS, kind="ode_sample", marks=()))
def test_samples(case, x64):
    config, arrays = case.options("eps", "inverse_scaler", "default_tolerances", "tight"), case.inputs
    sde = sde_of(config)
    score, given = score_of(arrays, sde), "in/z" in arrays
    start = float64(arrays["in/z"]) if given else sde.prior_std * float64(arrays["in/prior_noise"])
    found = jax.jit(lambda x: probability_flow.solve(sde, score, x, 1.0, config["eps"], TIGHT))(start)
    assert bool(jnp.all(found.solved))
    scaled = unscaled({"inverse_scaler": "identity", **config})
    t = jnp.full(start.shape[0], config["eps"])
    mean, _ = predictors.reverse_diffusion(sde, found.x, t, score(found.x, t), config["N"])
    ours = {
        "x_at_eps_raw": found.x, "samples": scaled(found.x), "samples_denoised": scaled(mean), "x": found.x,
        "x_dop853": found.x, "x_denoise": mean,
    }  # fmt: skip
    for name, recorded in case.recorded.items():
        if not name.startswith("nfe") and not name.endswith(INFORMATION):
            close(ours[name], recorded, 1e-8)


@pytest.mark.parametrize("case", cases(*READS, kind="likelihood", marks=()))
def test_likelihood(case, x64):
    config, arrays, recorded = case.options(
        "eps", "inverse_scaler", "bpd_offset", "dim", "hutchinson_type", "divergence"
    ), case.inputs, case.recorded  # fmt: skip
    sde = sde_of(config)
    score, x = score_of(arrays, sde), float64(arrays["in/x"])

    def log_likelihood(divergence):
        return jax.jit(
            lambda probes: likelihood.log_likelihood(sde, score, x, divergence(probes), config["eps"], TIGHT)
        )

    exact, hutchinson = log_likelihood(lambda _: likelihood.exact)(None), log_likelihood(likelihood.hutchinson)
    halved, dim = config["inverse_scaler"] in ("half", "(x+1)/2"), x[0].size
    found = {"": exact, "_exact_trace": exact}
    for name in ("", "_rademacher", "_gaussian"):
        if f"in/epsilon{name}" in arrays:
            found[name] = hutchinson(float64(arrays[f"in/epsilon{name}"])[:, None])
    ours = {"z": exact.z, "prior_logp": exact.prior}
    for name, result in found.items():
        ours[f"delta_logp{name}"] = result.change
        ours[f"bpd{name}"] = density_bits_per_dim(result.log_prob, dim, 256, 2.0 if halved else 1.0)
    flat, epsilon = mixture_of(arrays), np.asarray(config["eps"])

    def log_density(x, t):
        a = sde.a(t)
        return gaussian_mixture.log_density(flat, x.reshape(x.shape[0], -1) / a, sde.std(t) / a) - x[0].size * np.log(a)

    at_start, at_end = log_density(x, epsilon), log_density(exact.z, np.asarray(1.0))
    close(at_end + exact.change, at_start, 1e-8)
    ours |= {
        "mixture_logp_at_0": gaussian_mixture.log_density(flat, x.reshape(x.shape[0], -1)),
        "mixture_logp_at_eps": at_start,
        "mixture_logp_at_T_of_z": at_end, "closed_form_logp_at_eps": at_start, "closed_form_logp_of_z_at_T": at_end,
        "offset": 7 if halved else 8, "N": dim,
    }  # fmt: skip
    assert config.get("bpd_offset", ours["offset"]) == ours["offset"]
    assert config.get("dim", dim) == dim
    for name, values in recorded.items():
        if not name.startswith(("nfe", "point_")) and not name.endswith(INFORMATION):
            close(ours[name.removesuffix("_dop853")], values, 1e-8)


@pytest.mark.parametrize(
    "case", [case for case in cases(*READS, kind="likelihood") if "in/point_x" in case.values[0].inputs]
)
def test_drift_and_divergence(case, x64):
    arrays, sde = case.inputs, sde_of(case.config)
    score, x, t = score_of(arrays, sde), float64(arrays["in/point_x"]), float64(arrays["in/point_t"])

    def at(divergence):
        return jax.jit(lambda probes: divergence(probes)(lambda y: probability_flow.drift(sde, score, y, t), x))

    (value, trace), hutchinson = at(lambda _: likelihood.exact)(x[:, None]), at(likelihood.hutchinson)
    close(value, arrays["out/point_drift"], 1e-8)
    close(trace, arrays["out/point_div_exact"], 1e-8)
    for name in ("rademacher", "gaussian"):
        _, estimate = hutchinson(float64(arrays[f"in/epsilon_{name}"])[:, None])
        close(estimate, arrays[f"out/point_div_{name}"], 1e-8)


def test_the_state_of_rest_is_a_normal():
    """N(0, 1) is VP's fixed point, in float32 at the default tolerance."""
    found = likelihood.log_likelihood(process.sde.vp(), lambda x, t: -x, jnp.ones((3, 2)), likelihood.exact)
    np.testing.assert_allclose(found.log_prob, -np.log(2 * np.pi) - 1, atol=1e-4)
