"""VP, sub-VP and VE: marginals, drifts, chains and losses against recorded ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import flow
from jaxdiff import sde as sdes
from jaxdiff.losses import score as score_losses
from jaxdiff.samplers import predictors
from jaxdiff.types import expand
from tests.parity.score_sde import denoiser_of, float64, marginals_of, score_of, sde_of
from tests.support import reference
from tests.support.arrays import close
from tests.support.tiers import by, first_of_a_kind

READS = ("score_sde/sde_*.npz", "score_sde/loss_*.npz")


def cases(*patterns, kind):
    for path in reference.files(*patterns):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            if reference.config(arrays, case)["kind"] == kind:
                yield pytest.param(arrays, case, id=f"{path.stem}-{case}")


@pytest.mark.parametrize(("arrays", "case"), list(cases("score_sde/sde_*.npz", kind="sde")))
def test_definitions(arrays, case, x64):
    config, arrays = reference.config(arrays, case), reference.subset(arrays, case)
    sde, num_steps = sde_of(config), config["N"]
    x, t, z = (float64(arrays[f"in/{name}"]) for name in ("x", "t", "z"))
    score = score_of(arrays, sde)(x, t)
    # A denoiser's score loses the digits that x0 and std do not share; sub-VP's std is 1e-6 at t = 1e-5.
    through_denoiser = sdes.score(sde, denoiser_of(arrays), x, t)
    np.testing.assert_allclose(through_denoiser[sde.std(t) > 1e-3], score[sde.std(t) > 1e-3], rtol=1e-7)
    f, g = sde.step(t, num_steps)
    reverse, ode = (update(sde, x, t, score, num_steps) for update in
                     (predictors.reverse_diffusion, predictors.reverse_diffusion_flow))  # fmt: skip
    found = {
        "mean": expand(sde.a(t), x) * x,
        "std": sde.std(t),
        "drift": expand(sde.f(t), x) * x,
        "diffusion": sde.g(t),
        "T": 1.0,
        "prior_logp": flow.prior_log_prob(sde, z),
        "prior_sample_from_unit_noise": sde.prior_std * z,
        "discretize_f": expand(f, x) * x,
        "discretize_G": g,
        "score_continuous": score,
        "rsde_drift": sdes.reverse_drift(sde, score, x, t),
        "rsde_diffusion": sde.g(t),
        "rsde_discretize_f": x - reverse[0],
        "rsde_discretize_G": reverse[1],
        "pf_drift": sdes.reverse_drift(sde, score, x, t, share=0.5),
        "pf_diffusion": 0 * t,
        "pf_discretize_f": x - ode[0],
        "pf_discretize_G": ode[1],
        "labels_continuous": sde.std(t) if config["sde"] == "ve" else 999 * t,
    }
    if "out/score_discrete" in arrays:
        chained = marginals_of({**config, "continuous": False}, sde)
        found["score_discrete"] = score_of(arrays, chained)(x, t)
    for name, recorded in reference.subset(arrays, "out").items():
        if not name.endswith("_f32") and name != "labels_discrete":
            # The recorded 1 - exp(...) loses digits near t = 0.
            close(found[name], recorded, rtol=1e-8)


@pytest.mark.parametrize(("arrays", "case"), list(cases("score_sde/sde_*.npz", kind="sde")))
def test_tables_of_the_chain(arrays, case, x64):
    config, tables = reference.config(arrays, case), reference.subset(arrays, f"{case}/table")
    sde, num_steps = sde_of(config), config["N"]
    t = np.arange(num_steps) / (num_steps - 1)
    if config["sde"] == "subvp":
        with pytest.raises(ValueError, match="no chain of steps"):
            sdes.chain_marginals(sde, num_steps)
        return
    f, g = sde.step(t, num_steps)
    chained = sdes.chain_marginals(sde, num_steps)
    a, std = chained.a(t), chained.std(t)
    found = {
        "discrete_betas": g**2, "alphas": (1 + f) ** 2, "alphas_cumprod": a**2, "sqrt_alphas_cumprod": a,
        "sqrt_1m_alphas_cumprod": std, "discrete_sigmas": std, "model_sigmas_descending": std[::-1],
    }  # fmt: skip
    for name, recorded in tables.items():
        if not name.endswith("_f32") and not name.startswith("ddpm_params"):
            close(found[name], recorded)
    thousand = sde.step(np.arange(1000) / 999, 1000)[1] ** 2
    for name in ("betas", "alphas", "alphas_cumprod"):
        if f"ddpm_params_{name}" in tables and num_steps == 1000:
            ours = {"betas": thousand, "alphas": 1 - thousand, "alphas_cumprod": np.cumprod(1 - thousand)}[name]
            close(ours, tables[f"ddpm_params_{name}"])


def loss_cases():
    kinds = ("loss_continuous", "loss_smld", "loss_ddpm")
    return [case for kind in kinds for case in cases("score_sde/loss_*.npz", kind=kind)]


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(loss_cases(), by("kind", "sde", "reduce_mean")))
def test_losses(arrays, case, x64):
    """The network is gain * exact output + shift * x, in the units of its own output: score for VE, else -std score."""
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    inputs = reference.subset(arrays, config.get("inputs", case))
    sde = sde_of(config)
    x0, z = float64(inputs["in/x"]), float64(inputs["in/z"])
    if config["kind"] == "loss_continuous":
        t = score_losses.uniform_times(float64(inputs["in/u"]), config["eps"])
        close(t, recorded["t"])
    else:
        sde = sdes.chain_marginals(sde, config["N"])
        index = inputs["in/labels"]
        # SMLD's labels index the descending table.
        index = config["N"] - 1 - index if config["sde"] == "ve" else index
        t = float64(index / (config["N"] - 1))
        names = {"sigmas": sde.std, "sqrt_alphas_cumprod": sde.a, "sqrt_1m_alphas_cumprod": sde.std}
        for name, table in names.items():
            if name in recorded:
                close(table(t), recorded[name])
    exact, units = denoiser_of(inputs), (lambda t: 1.0) if config["sde"] == "ve" else (lambda t: -sde.std(t))
    weight = (lambda t: sde.g(t) ** 2) if config.get("likelihood_weighting") else None
    # The recorded losses take the mean over pixels, or half their sum.
    factor = 1.0 if config["reduce_mean"] else x0[0].size / 2

    def output(gain, shift, x, t):
        return gain * expand(units(t), x) * sdes.score(sde, exact, x, t) + shift * x

    def per_sample(gain, shift):
        score = lambda x, t: output(gain, shift, x, t) / expand(units(t), x)  # noqa: E731
        return factor * score_losses.score_loss(score, sde, x0, t, z, weight)

    gain, shift = config["gain"], config["shift"]
    rtol = 1e-8  # see test_definitions
    close(per_sample(gain, shift), recorded["loss_per_sample"], rtol)
    close(per_sample(gain, shift).mean(), recorded["loss"], rtol)
    gradient = jax.grad(lambda gain, shift: per_sample(gain, shift).mean(), argnums=(0, 1))(gain, shift)
    close(gradient[0], recorded["grad_gain"], rtol)
    close(gradient[1], recorded["grad_shift"], rtol)
    x_t = expand(sde.a(t), x0) * x0 + expand(sde.std(t), x0) * z
    close(x_t, recorded["perturbed"])
    if "model_output" in recorded:
        close(output(gain, shift, x_t, t), recorded["model_output"], rtol)
    if "score" in recorded:
        close(output(gain, shift, x_t, t) / expand(jnp.asarray(units(t)), x_t), recorded["score"], rtol)
