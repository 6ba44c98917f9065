"""Continuous-time consistency, easy consistency tuning and improved consistency training."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from jaxdiff import losses, precond, timesteps
from jaxdiff.losses import consistency
from jaxdiff.losses.consistency import improved_training_loss, training_loss
from jaxdiff.losses.distances import l1, linf, pseudo_huber
from jaxdiff.precond import denoiser
from jaxdiff.timesteps.curricula import doubling_scales
from jaxdiff.timesteps.levels import karras_sigma
from jaxdiff.timesteps.pairs import adjacent_levels, ect_sigma_next
from jaxdiff.types import expand
from tests.parity.consistency_cases import cases, read
from tests.support import reference
from tests.support.arrays import close

READS = (
    "consistency/loss_continuous_*.npz",
    "consistency/jcm_loss_continuous*.npz",
    "consistency/loss_ect.npz",
    "consistency/ect.npz",
    "consistency/ict.npz",
)
ECT_WEIGHTS = {"1/(t-r)": None, "snrpk: (t^2+sd^2)/(t sd)^2": losses.edm_weight}


@pytest.mark.parametrize(("path", "name"), cases(*READS[:2], marks=("loss_norm",)))
def test_continuous(path, name, x64):
    case = read(path, name)
    config = case.options("rho", "dsm", "stopgrad", "loss_norm")
    x0, noise, u = (case.inputs[name] for name in ("x0", "noise", "u"))
    sigma = karras_sigma(1 - u, **case.span())
    x = x0 + expand(sigma, x0) * noise
    slope = noise if config["dsm"] else consistency.continuous.ode_slope(case.teacher, x, sigma)
    parametrisation, _ = case.parametrisations()
    norm = {"l1": l1, "l2": partial(pseudo_huber, c=0.0), "linf": linf}[config["loss_norm"]]

    def per_example(params, stopped=config["stopgrad"]):
        f = denoiser(case.apply, params, parametrisation)
        if stopped:
            return consistency.continuous.stopped_tangent_loss(f, x, sigma, slope)
        return consistency.continuous.tangent_loss(f, x, sigma, slope, distance=norm)

    params = case.params["student"]
    online, derivative = consistency.continuous.tangent(denoiser(case.apply, params, parametrisation), x, sigma, slope)
    loss, logged = per_example(params), per_example(params, stopped=False)
    # What the first set logs: means of the norm in four quarters of u.
    quarters = [case.mask() * (jnp.clip(jnp.floor(4 * u), 0, 3) == i) for i in range(4)]
    means = [jnp.sum(inside * logged) / jnp.maximum(inside.sum(), 1) for inside in quarters]
    case.agree(
        jax.jit(jax.grad(lambda params: case.mean(per_example(params))))(params),
        t=sigma, x_t=x, online=online, score_t=-slope / expand(sigma, x), loss=case.mean(loss),
        tangent=-derivative,  # recorded towards lower levels
        losses=loss, pseudo_losses=loss, unweighted=logged,
        **{f"loss_q{i + 1}_nonfinite_ok": mean for i, mean in enumerate(means)},
    )  # fmt: skip


def of_loss(name):
    return name.startswith(("case", "loss-"))


@pytest.mark.parametrize(("path", "name"), cases(*READS[2:4], marks=("adj", "precond_mode"), wanted=of_loss))
def test_ect(path, name, x64):
    case = read(path, name)
    config = case.options(
        "stage", "P_mean", "P_std", "q", "c", "k", "b", "weight", adj=("sigmoid", "const"),
        precond_mode=("train", "eval"),
    )  # fmt: skip
    x0, noise = case.inputs["x0"], case.inputs["noise"]
    sigma = timesteps.lognormal_sigma(case.inputs["rnd_normal"].reshape(-1), config["P_mean"], config["P_std"])
    k = config["k"] if config["adj"] == "sigmoid" else 0.0
    sigma_next = ect_sigma_next(sigma, config["stage"], q=config["q"], k=k, b=config["b"])
    parametrisation = ect_precond(config.get("precond_mode", "train"), config["sigma_data"], config["sigma_min"])
    weight = ECT_WEIGHTS[config.get("weight", "1/(t-r)")]
    seen = []

    def per_example(params):
        def f(x, sigma):
            seen.append(denoiser(case.apply, params, parametrisation)(x, sigma))
            return seen[-1]

        if weight is None:
            return improved_training_loss(f, x0, sigma, sigma_next, noise, c=config["c"])
        how = {"distance": partial(pseudo_huber, c=config["c"]), "weight": weight(sigma, config["sigma_data"])}
        return training_loss(f, f, x0, sigma, sigma_next, noise, **how)

    loss = per_example(case.params["student"])
    target = jnp.where(expand(sigma_next, x0) > 0, seen[0], x0)
    gradient = jax.jit(jax.grad(lambda params: jnp.mean(per_example(params))))(case.params["student"])
    x = x0 + expand(sigma, x0) * noise
    case.agree(gradient, t=sigma, r=sigma_next, x_t=x, D_t=seen[1], target=target, losses=loss)


def ect_precond(mode, sigma_data, sigma_min):
    """ECT trains with EDM's parametrisation, f(x, 0) = x, and is evaluated with the shifted one."""
    return precond.edm(sigma_data) if mode == "train" else precond.consistency(sigma_data, sigma_min)


@pytest.mark.parametrize(("path", "name"), cases("consistency/ict.npz", marks=(), wanted=lambda name: "loss" in name))
def test_ict(path, name, x64):
    case = read(path, name)
    config = case.options(
        "rho", "num_timesteps", "step", "total_steps", "s0", "s1",
        network=("c_skip(s) x + c_out(s) TinyNet(x, s): no input scaling, raw noise level as condition",),
    )  # fmt: skip
    x0, noise, params = case.inputs["x"], case.inputs["noise"], case.params["student"]
    num_scales = doubling_scales(config["total_steps"], config["s0"], config["s1"])(config["step"])
    assert num_scales == config["num_timesteps"]
    # Indices rise with the level here.
    sigma, sigma_next = adjacent_levels(num_scales - 2 - case.inputs["indices"], num_scales, **case.span())
    parametrisation = case.parametrisations()[0]._replace(c_in=jnp.ones_like, c_noise=lambda sigma: sigma)

    def mean(params):
        f = denoiser(case.apply, params, parametrisation)
        return jnp.mean(improved_training_loss(f, x0, sigma, sigma_next, noise))

    f = denoiser(case.apply, params, parametrisation)
    student, target = (f(x0 + expand(level, x0) * noise, level) for level in (sigma, sigma_next))
    loss, gradient = jax.jit(jax.value_and_grad(mean))(params)
    case.agree(
        gradient, sigma_small=sigma_next, sigma_large=sigma, student=student, target=target, loss=loss,
        weight=1 / (sigma - sigma_next), weights=1 / (sigma - sigma_next),
        pseudo_huber_per_sample=pseudo_huber(student, target),
    )  # fmt: skip


@pytest.mark.parametrize("path", reference.files("consistency/loss_ect.npz"), ids=reference.ids)
def test_ect_rows(path, x64):
    case = read(path, "precond")
    for mode in ("train", "eval"):
        parametrisation = ect_precond(mode, 0.5, 0.003)
        found = denoiser(case.apply, case.params["student"], parametrisation)(case.inputs["x"], case.inputs["t"])
        close(found, case.recorded.pop(f"D_{mode}"))
    assert not case.recorded
