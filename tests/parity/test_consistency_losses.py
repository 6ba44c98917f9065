"""Consistency distillation and training in discrete time: points, outputs, losses and gradients of both releases."""

import jax
import jax.numpy as jnp
import pytest

from jaxdiff.losses import consistency
from jaxdiff.losses.consistency_levels import neighbours
from jaxdiff.precond import denoiser
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
from tests.support.tiers import by, first_of_a_kind

READS = ("consistency/loss_cd_*.npz", "consistency/loss_ct_*.npz")
STEPS = {"heun": consistency.heun_step, "euler": consistency.euler_step}
CASES = [
    pytest.param(path, case, id=f"{path.stem}-{case}")
    for path in reference.files(*READS)
    for case in reference.cases(reference.load(path))
    if case != "config"
]


@pytest.mark.parametrize(("path", "case"), first_of_a_kind(CASES, by("solver", "loss_norm", "norm")))
def test_loss(path, case, x64):
    arrays = reference.load(path)
    config, options = reference.config(arrays), reference.config(arrays, case)
    training = config.get("mode") == "ct" or "training" in config["kind"]
    torch = "mode" in config
    x0, noise = inputs(arrays, "x0", "noise")
    sigma, sigma_next = neighbours(arrays["in/indices"], config["num_scales"], **span(config))
    agree(arrays, "out/t", sigma)
    agree(arrays, "out/t2", sigma_next)
    agree(arrays, "out/x_t", x0 + expand(sigma, x0) * noise)
    row, _ = rows(config)
    same = options.get("same", False) or options.get("target", "").startswith("same")
    weight = weights(config["sigma_data"])[options.get("weight_schedule", options.get("w"))](sigma)
    how = {
        "distance": DISTANCES[options.get("loss_norm", options.get("norm"))],
        "weight": weight,
        "stop": jax.lax.stop_gradient if options.get("stopgrad", True) else lambda y: y,
    }
    denoise = None if training else teacher(arrays)
    step = STEPS[options["solver"].split()[0]]
    mask = jnp.ones(len(x0)) if torch else inputs(arrays, "mask")[0]

    def mean(params):
        """(mean loss, (each example's, what both networks were asked and what they said))."""
        seen = []

        def recorded(params):
            f = denoiser(tiny(config), params, row)
            return lambda x, sigma: seen.append((x, f(x, sigma))) or seen[-1][1]

        f, f_target = recorded(params), recorded(params if same else params_of(arrays, "target_param"))
        if training:
            loss = consistency.training_loss(f, f_target, x0, sigma, sigma_next, noise, **how)
        else:
            loss = consistency.distillation_loss(f, f_target, denoise, x0, sigma, sigma_next, noise, step=step, **how)
        return jnp.sum(mask * loss) / jnp.sum(mask), (loss, seen)

    both = jax.jit(jax.value_and_grad(mean, has_aux=True))
    (total, (loss, seen)), gradient = both(params_of(arrays))
    (x_next, target), (_, online) = seen
    shared = "out/x_t2" if "out/x_t2" in arrays else f"{case}/out/x_t2"
    agree(arrays, shared, x_next)
    agree(arrays, f"{case}/out/online", online)
    agree(arrays, f"{case}/out/target", target)
    agree(arrays, f"{case}/out/loss" if torch else f"{case}/out/loss_per_example", loss)
    if not torch:
        agree(arrays, f"{case}/out/loss", total)
    # 1e-8: snr weights are as large as 1 / t^2 (tests/reference/consistency/README.md).
    rtol = 1e-8 if "snr" in options.get("weight_schedule", options.get("w")) else 1e-9
    agree_gradient(arrays, case, gradient, rtol)
