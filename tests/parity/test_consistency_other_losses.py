"""Continuous-time consistency, ECT, progressive distillation and the teachers' losses of the consistency releases."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import boundary, losses, precond
from jaxdiff.losses import consistency_continuous as continuous
from jaxdiff.losses import progressive
from jaxdiff.losses.consistency import euler_step, improved_training_loss
from jaxdiff.losses.consistency_levels import ect_sigma_next, karras_sigma
from jaxdiff.losses.distances import l1, linf, pseudo_huber
from jaxdiff.losses.score import sliced_loss_of_norm
from jaxdiff.precond import denoiser
from jaxdiff.train import ema
from jaxdiff.types import expand
from tests.parity.consistency_cases import (
    DISTANCES,
    agree,
    agree_gradient,
    inputs,
    params_of,
    rows,
    span,
    teacher,
    tiny,
    weights,
)
from tests.support import reference
from tests.support.arrays import close
from tests.support.tiers import by, first_of_a_kind

READS = (
    "consistency/loss_continuous_*.npz",
    "consistency/loss_ect.npz",
    "consistency/loss_denoise_*.npz",
    "consistency/progdist_*.npz",
)


def cases(*patterns):
    return [
        pytest.param(path, case, id=f"{path.stem}-{case}")
        for path in reference.files(*patterns)
        for case in reference.cases(reference.load(path))
        if case != "config"
    ]


def masked_mean(arrays):
    """The mean over the examples that count; all do where there is no mask."""
    mask = inputs(arrays, "mask")[0] if "in/mask" in arrays else jnp.ones(len(arrays["in/x0"]))
    return lambda loss: jnp.sum(mask * loss) / jnp.maximum(jnp.sum(mask), 1), mask


@pytest.mark.parametrize(("path", "case"), first_of_a_kind(cases("consistency/loss_continuous_*.npz"), by("norm")))
def test_continuous(path, case, x64):
    arrays = reference.load(path)
    config, options = reference.config(arrays), reference.config(arrays, case)
    x0, noise, u = inputs(arrays, "x0", "noise", "u")
    sigma = karras_sigma(1 - u, **span(config))
    x = x0 + expand(sigma, x0) * noise
    agree(arrays, "out/t", sigma)
    agree(arrays, "out/x_t", x)
    slope = noise if options["dsm"] else continuous.teacher_slope(teacher(arrays), x, sigma)
    row, _ = rows(config)
    norm = {"l1": l1, "l2": partial(pseudo_huber, c=0.0), "linf": linf}[options["norm"]]
    mean, mask = masked_mean(arrays)

    def per_example(params, stopped=options["stopgrad"]):
        f = denoiser(tiny(config), params, row)
        if stopped:
            return continuous.stopped_tangent_loss(f, x, sigma, slope)
        return continuous.tangent_loss(f, x, sigma, slope, distance=norm)

    params = params_of(arrays)
    online, derivative = continuous.tangent(denoiser(tiny(config), params, row), x, sigma, slope)
    agree(arrays, "out/online", online)
    agree(arrays, f"{case}/out/tangent", -derivative)  # recorded towards lower levels
    loss = per_example(params)
    agree(arrays, f"{case}/out/loss_per_example", loss)
    agree(arrays, f"{case}/out/loss", mean(loss))
    agree_gradient(arrays, case, jax.jit(jax.grad(lambda params: mean(per_example(params))))(params))
    # What the release logs: means of the norm in four quarters of u.
    logged, quarter = per_example(params, stopped=False), np.clip(np.floor(4 * u), 0, 3)
    for i in range(4):
        inside = mask * (quarter == i)
        agree(arrays, f"{case}/out/loss_q{i + 1}_nonfinite_ok", jnp.sum(inside * logged) / max(inside.sum(), 1))


@pytest.mark.parametrize(
    ("path", "case"),
    first_of_a_kind(
        [p for p in cases("consistency/loss_ect.npz") if p.values[1].startswith("case")], by("adj", "precond_mode")
    ),
)
def test_ect(path, case, x64):
    arrays = reference.load(path)
    config, options = reference.config(arrays), reference.config(arrays, case)
    x0, noise, normal = inputs(arrays, "x0", "noise", "rnd_normal")
    sigma = losses.lognormal_sigma(normal, options["P_mean"], options["P_std"])
    k = options["k"] if options["adj"] == "sigmoid" else 0.0
    sigma_next = ect_sigma_next(sigma, options["stage"], q=options["q"], k=k, b=options["b"])
    agree(arrays, f"{case}/out/t", sigma)
    agree(arrays, f"{case}/out/r", sigma_next)
    agree(arrays, f"{case}/out/x_t", x0 + expand(sigma, x0) * noise)
    row = ect_row(options["precond_mode"], options["sigma_data"], options["sigma_min"])
    seen = []

    def per_example(params):
        def f(x, sigma):
            seen.append(denoiser(tiny(config), params, row)(x, sigma))
            return seen[-1]

        return improved_training_loss(f, x0, sigma, sigma_next, noise, c=options["c"])

    params = params_of(arrays)
    agree(arrays, f"{case}/out/loss", per_example(params))
    agree(arrays, f"{case}/out/D_t", seen[1])
    agree(arrays, f"{case}/out/target", jnp.where(expand(sigma_next, x0) > 0, seen[0], x0))
    agree_gradient(arrays, case, jax.jit(jax.grad(lambda params: jnp.mean(per_example(params))))(params))


def ect_row(mode, sigma_data, sigma_min):
    """ECT trains with EDM's row, f(x, 0) = x, and is evaluated with the shifted one."""
    return precond.edm(sigma_data) if mode == "train" else boundary.consistency(sigma_data, sigma_min)


@pytest.mark.parametrize("path", reference.files("consistency/loss_ect.npz"), ids=reference.ids)
def test_ect_rows(path, x64):
    arrays = reference.load(path)
    apply, params = tiny(reference.config(arrays)), params_of(arrays)
    recorded = reference.subset(arrays, "precond")
    t, x = inputs(recorded, "t", "x")
    for mode in ("train", "eval"):
        agree(recorded, f"out/D_{mode}", denoiser(apply, params, ect_row(mode, 0.5, 0.003))(x, t))


@pytest.mark.parametrize(
    ("path", "case"), first_of_a_kind(cases("consistency/progdist_*.npz"), by("loss_norm", "norm"))
)
def test_progressive_distillation(path, case, x64):
    arrays = reference.load(path)
    config, options = reference.config(arrays), reference.config(arrays, case)
    x0, noise = inputs(arrays, "x0", "noise")
    levels = progressive.halved_levels(arrays["in/indices"], config["num_scales"], **span(config))
    for name, level in zip(("t", "t2", "t3"), levels, strict=True):
        agree(arrays, f"out/{name}", level)
    denoise_teacher = teacher(arrays)
    x = x0 + expand(levels[0], x0) * noise
    x_mid = euler_step(denoise_teacher, x, *levels[:2])
    agree(arrays, "out/x_t", x)
    agree(arrays, "out/x_t2", x_mid)
    agree(arrays, "out/x_t3", euler_step(denoise_teacher, x_mid, *levels[1:]))
    agree(arrays, "out/target", progressive.two_step_target(denoise_teacher, x, *levels))
    row = rows(config)[0 if options.get("student_scalings") == "boundary" else 1]
    weight = options.get("weight_schedule", options.get("w"))
    how = {
        "distance": DISTANCES[options.get("loss_norm", options.get("norm"))],
        "weight": weights(config["sigma_data"])[weight](levels[0]),
    }
    mean, _ = masked_mean(arrays)

    def per_example(params):
        student = denoiser(tiny(config), params, row)
        return progressive.progressive_loss(student, denoise_teacher, x0, levels, noise, **how)

    params = params_of(arrays)
    online = f"{case}/out/online" if f"{case}/out/online" in arrays else "out/online"
    agree(arrays, online, denoiser(tiny(config), params, row)(x, levels[0]))
    loss = per_example(params)
    torch = f"{case}/out/loss_per_example" not in arrays
    agree(arrays, f"{case}/out/loss" if torch else f"{case}/out/loss_per_example", loss)
    if not torch:
        agree(arrays, f"{case}/out/loss", mean(loss))
    # 1e-8: snr weights are as large as 1 / t^2 (tests/reference/consistency/README.md).
    rtol = 1e-8 if "snr" in weight else 1e-9
    agree_gradient(arrays, case, jax.jit(jax.grad(lambda params: mean(per_example(params))))(params), rtol)


@pytest.mark.parametrize(
    ("path", "case"), [p for p in cases("consistency/loss_denoise_torch.npz") if p.values[1] != "ema"]
)
def test_teachers_of_torch(path, case, x64):
    arrays = reference.load(path)
    config = reference.config(arrays)
    x0, noise, sigma = inputs(arrays, "x0", "noise", "sigma")
    _, row = rows(config)
    weight = weights(config["sigma_data"])[reference.config(arrays, case)["weight_schedule"]]

    def per_example(params, weight=weight):
        return losses.denoising_loss(denoiser(tiny(config), params, row), x0, sigma, noise, weight)

    params = params_of(arrays)
    agree(arrays, f"{case}/out/xs_mse", per_example(params, jnp.ones_like))
    agree(arrays, f"{case}/out/loss", per_example(params))
    rtol = 1e-8 if "snr" in case else 1e-9
    agree_gradient(arrays, case, jax.jit(jax.grad(lambda params: jnp.mean(per_example(params))))(params), rtol)


@pytest.mark.parametrize("path", reference.files("consistency/loss_denoise_torch.npz"), ids=reference.ids)
def test_moving_average(path, x64):
    arrays = reference.subset(reference.load(path), "ema")
    target, source, rates = inputs(arrays, "target", "source", "rate")
    for rate, expected in zip(rates, arrays["out/target"], strict=True):
        close(ema.update(target, source, rate), expected)


@pytest.mark.parametrize("case", ["dsm", "ssm", "ssm_weighted"])
@pytest.mark.parametrize("path", reference.files("consistency/loss_denoise_jax.npz"), ids=reference.ids)
def test_teachers_of_jcm(path, case, x64):
    arrays = reference.load(path)
    config = reference.config(arrays)
    x0, noise, normal, signs = inputs(arrays, "x0", "noise", "rnd_normal", "signs")
    sigma = losses.lognormal_sigma(normal, config["P_mean"], config["P_std"])
    agree(arrays, "out/t", sigma)
    row, pixels = precond.edm(config["sigma_data"]), x0[0].size
    mean, _ = masked_mean(arrays)

    def per_example(params):
        denoise = denoiser(tiny(config), params, row)
        if case == "dsm":
            return pixels * losses.edm_loss(denoise, x0, sigma, noise, sigma_data=config["sigma_data"])

        def score(x, sigma):
            return (denoise(x, sigma) - x) / expand(sigma, x) ** 2

        x = x0 + expand(sigma, x0) * noise
        weight = sigma**2 * losses.edm_weight(sigma, config["sigma_data"]) if case == "ssm_weighted" else 1.0
        # The release leaves out the half, and takes a mean over pixels.
        return weight * sigma**2 * 2 / pixels * sliced_loss_of_norm(score, x, sigma, signs)

    params = params_of(arrays)
    agree(arrays, f"{case}/out/loss_per_example", per_example(params))
    agree(arrays, f"{case}/out/loss", mean(per_example(params)))
    agree_gradient(arrays, case, jax.jit(jax.grad(lambda params: mean(per_example(params))))(params))
