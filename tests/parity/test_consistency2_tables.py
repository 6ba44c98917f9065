"""Rows, weights, grids and curricula of consistency models in the second recording."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids, likelihood, precond, timesteps
from jaxdiff.losses.distances import pseudo_huber
from jaxdiff.precond import denoiser
from jaxdiff.process import schedules, sde
from jaxdiff.timesteps import curricula, pairs
from jaxdiff.train import ema
from tests.parity.consistency_cases import agree, cases, read, table, tiny, weights
from tests.parity.test_consistency_other_losses import ECT_WEIGHTS
from tests.support import reference
from tests.support.pair_probabilities import pair_probabilities
from tests.support.tiers import first_of_a_kind

# scalings*.npz and schedules*.npz of both sets are on test_consistency_tables' list; here those cases of theirs are
# read that say what only the second set says. ict.npz and ect.npz are on test_consistency_other_losses'.
READS = ("consistency/jcm_scalings*.npz", "consistency/time_grids*.npz")
COEFFICIENTS = ("c_skip", "c_out", "c_in")


def saying(pattern, *names, once=False):
    """pytest.params of the cases that have these options."""
    found = [p for p in cases(pattern) if set(names) <= set(config_of(*p.values))]
    return first_of_a_kind(found, lambda path, name: path) if once else found


def config_of(path, name):
    return reference.config(reference.load(path), name)


@pytest.mark.parametrize(("path", "name"), saying("consistency/scalings*.npz", "source"))
def test_rows_of_torch(path, name, x64):
    arrays, config = table(path, name, "sigma_data", "sigma_min", "sigma_max", "rho", "source")
    sigma, sigma_data, lowest = jnp.asarray(arrays["in/sigma"]), config["sigma_data"], config["sigma_min"]
    named = weights(sigma_data)
    shifted, edm = precond.consistency(sigma_data, lowest, config["sigma_max"], 250.0), precond.edm(sigma_data)
    ours = {"cond": shifted.c_noise(sigma), "snr": named["snr"](sigma), "ect_c_noise": edm.c_noise(sigma)}
    for weight in ("uniform", "snr", "snrp1", "karras", "truncated_snr"):
        ours[f"weight_{weight}"] = named[weight](sigma)
    for c in COEFFICIENTS:
        ours[f"{c}_boundary"], ours[f"{c}_edm"] = (
            getattr(parametrisation, c)(sigma) for parametrisation in (shifted, edm)
        )
        ours[f"ect_{c}"] = ours[f"ect_{c}_train"] = ours[f"{c}_edm"]
        ours[f"ect_{c}_eval"] = ours[f"{c}_boundary"]
    # 250 ln(0 + 1e-44): levels are positive here.
    agree(arrays, left_out=("cond_at_sigma_zero",), **ours)


@pytest.mark.parametrize(("path", "name"), saying("consistency/jcm_scalings*.npz", once=True))
def test_rows_of_jcm(path, name, x64):
    arrays, config = table(path, name, "sigma_data", "sigma_min", "sigma_max", "rho", layout=("NHWC",))
    case, sigma_data = read(path, name), config["sigma_data"]
    t, x, z = (case.inputs[name] for name in ("t", "x", "z"))
    parametrisation, edm = case.parametrisations()
    denoise, distil = (
        denoiser(tiny, case.params["tiny"], parametrisation)(x, t) for parametrisation in (edm, parametrisation)
    )
    prior = sde.ve(config["sigma_min"], config["sigma_max"])
    sigma, slope = jax.jvp(schedules.linear().sigma, (t,), (jnp.ones_like(t),))
    ours = {
        "c_in": edm.c_in(t), "cond_t": edm.c_noise(t), "denoised": denoise, "distilled": distil,
        "score_kve": (denoise - x) / t[:, None, None, None] ** 2, "diffusion": jnp.sqrt(2 * sigma * slope),
        "prior_logp": likelihood.prior_log_prob(prior, z),
        # A Gaussian's entropy is -log p one standard deviation away in every direction.
        "prior_entropy": -likelihood.prior_log_prob(prior, prior.prior_std * jnp.ones_like(z)),
    }  # fmt: skip
    pred_t = {name.split("pred_t")[1] for name in case.recorded if "pred_t" in name}
    ends = {f"_pred_t{end}": float(end) for end in pred_t} | {"": config["sigma_min"]}
    for c in ("c_skip", "c_out"):
        ours[f"{c}_denoiser"] = getattr(edm, c)(t)
        for suffix, end in ends.items():
            ours[f"{c}_distiller{suffix}"] = getattr(precond.consistency(sigma_data, end), c)(t)
    agree(arrays, **ours)


@pytest.mark.parametrize(("path", "name"), saying("consistency/time_grids*.npz"))
def test_grids(path, name, x64):
    arrays, config = table(path, name, "N", "sigma_min", "sigma_max", "rho")
    n, span = config["N"], (config["sigma_min"], config["sigma_max"], config["rho"])
    ours = {"sigmas_karras": grids.karras(n, *span), "multistep_t": grids.karras(n, *span)[: n - 1]}
    ours["train_t"], ours["train_t_next"] = timesteps.pairs.adjacent_levels(np.arange(n - 1), n, *span)
    halved = pairs.progressive_levels(np.arange(n), n, *span)
    agree(arrays, **ours, **dict(zip(("progdist_t", "progdist_t2", "progdist_t3"), halved, strict=True)))


@pytest.mark.parametrize(("path", "name"), saying("consistency/schedules*.npz", "mode"))
def test_curricula(path, name, x64):
    arrays, config = table(
        path, name, "start_scales", "end_scales", "start_ema", "total_steps", "distill_steps_per_iter",
        mode=("adaptive/progressive", "fixed/progdist"),
    )  # fmt: skip
    step, start = arrays["in/step"].astype(np.int32), config["start_scales"]
    if config["mode"] == "fixed/progdist":
        scales = curricula.halving_steps(config["distill_steps_per_iter"], start)
        agree(arrays, num_scales=scales(step), mu=np.ones(len(step)))  # no target moves
        return
    scales = curricula.progressive_scales(config["total_steps"], start, config["end_scales"])(step)
    mu = curricula.target_decay(scales, config["start_ema"], start)
    agree(arrays, num_scales=scales, mu=mu, mu_fixed_mode=np.full(len(step), config["start_ema"]))


@pytest.mark.parametrize(("path", "name"), saying("consistency/schedules*.npz", "rate"))
def test_moving_average(path, name, x64):
    arrays, config = table(path, name, "rate")
    target, source = (jnp.asarray(arrays[f"in/{name}"].astype(np.float64)) for name in ("target", "source"))
    agree(arrays, target=ema.update(target, source, jnp.asarray(config["rate"])))


@pytest.mark.parametrize(("path", "name"), saying("consistency/ict.npz", "K_prime"))
def test_doubling_scales(path, name):
    arrays, config = table(path, name, "s0", "s1", "K", "K_prime")
    scales = curricula.doubling_scales(config["K"], config["s0"], config["s1"])
    agree(arrays, num_timesteps=scales(arrays["in/step"].astype(np.int32)))
    assert scales(config["K_prime"]) != scales(config["K_prime"] - 1) == scales(0)


@pytest.mark.parametrize(("path", "name"), saying("consistency/ict.npz", "P_mean", once=True))
def test_lognormal_probabilities(path, name, x64):
    arrays, config = table(path, name, "num_timesteps", "P_mean", "P_std", "sigma_min", "sigma_max", "rho")
    n, span = config["num_timesteps"], (config["sigma_min"], config["sigma_max"], config["rho"])
    sigma, sigma_next = (side[::-1] for side in timesteps.pairs.adjacent_levels(np.arange(n - 1), n, *span))
    draw = lambda uniform: timesteps.pairs.lognormal_levels(uniform, n, config["P_mean"], config["P_std"], *span)  # noqa: E731
    probabilities = pair_probabilities(draw, n, *span)[::-1]
    sigmas = np.append(sigma_next, sigma[-1])
    agree(arrays, prob=probabilities, sigmas=sigmas, weight=1 / (sigma - sigma_next))


@pytest.mark.parametrize(("path", "name"), [p for p in saying("consistency/ict.npz", "c") if p.values[1] != "loss"])
def test_pseudo_huber(path, name, x64):
    arrays, config = table(path, name, "c")
    x, y = (jnp.asarray(arrays[f"in/{name}"].astype(np.float64)) for name in "xy")
    each = pseudo_huber(x.reshape(-1, 1), y.reshape(-1, 1), config["c"]).reshape(x.shape)
    agree(arrays, per_sample=pseudo_huber(x, y, config["c"]), elementwise=each)


@pytest.mark.parametrize(("path", "name"), saying("consistency/ect.npz", "variants"))
def test_ect_mapping(path, name, x64):
    arrays, config = table(path, name, "variants")
    t, stage = jnp.asarray(arrays["in/t"]), arrays["in/stage"]
    ours = {"weight_snrpk": ECT_WEIGHTS["snrpk: (t^2+sd^2)/(t sd)^2"](t)}
    for i, variant in enumerate(config["variants"]):
        reference.only(variant, "q", "k", "b", adj=("sigmoid", "const"))
        q, k = variant["q"], variant["k"] if variant["adj"] == "sigmoid" else 0.0
        ours[f"r_{i}"] = np.stack([timesteps.pairs.ect_sigma_next(t, int(s), q=q, k=k, b=variant["b"]) for s in stage])
        ours[f"ratio_{i}"] = 1 - 1 / float(q) ** (stage + 1)
    agree(arrays, **ours)
