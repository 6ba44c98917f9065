"""Preconditioning rows, weights, grids and curricula of consistency models."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import boundary, grids, precond
from jaxdiff.losses import consistency_levels as levels
from jaxdiff.losses import consistency_schedules as schedules
from jaxdiff.losses.distances import pseudo_huber
from jaxdiff.precond import denoiser
from tests.parity.consistency_cases import inputs, rows, weights
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("consistency/scalings*.npz", "consistency/schedules*.npz")
COEFFICIENTS = ("c_skip", "c_out", "c_in")


def groups(pattern, prefix, group_of=lambda name: name.split("/")[0]):
    """Every group of recorded arrays whose name starts with `prefix`, as (path, group)."""
    return [
        pytest.param(path, name, id=f"{path.stem}-{name}")
        for path in reference.files(pattern)
        for name in sorted({group_of(name) for name in reference.load(path) if "/" in name})
        if name.rstrip("0123456789") == prefix
    ]


def read(path, group):
    """(arrays of the group, its config, the file's)."""
    arrays = reference.load(path)
    return reference.subset(arrays, group), reference.config(arrays, group), arrays


def constant(value):
    """A network with a recorded output."""
    return lambda params, x, c_noise: value


@pytest.mark.parametrize(("path", "group"), groups("consistency/scalings.npz", "s"))
def test_rows_of_torch(path, group, x64):
    arrays, config, shared = read(path, group)
    t = jnp.asarray(shared["in/t"].astype(np.float64))
    x, f = inputs(arrays, "x", "F")
    consistency, edm = rows({**config, "omega": 0.0007})
    for name, row in (("boundary", consistency), ("edm", edm)):
        for coefficient in COEFFICIENTS:
            close(getattr(row, coefficient)(t), arrays[f"out/{name}_{coefficient}"])
        close(row.c_noise(t), arrays["out/c_noise"])
        close(nchw(denoiser(constant(f), None, row)(x, t)), arrays[f"out/{name}_denoised"])
    named = weights(config["sigma_data"])
    for name in (name for name in arrays if name.startswith("out/weight_")):
        close(named[name.removeprefix("out/weight_")](t), arrays[name])
    quarter = boundary.consistency(config["sigma_data"], config["sigma_min"], config["sigma_max"])
    close(quarter.c_noise(t), shared["out/c_noise_jcm"])


@pytest.mark.parametrize(("path", "group"), groups("consistency/scalings_jax.npz", "s"))
def test_rows_of_jcm(path, group, x64):
    arrays, config, shared = read(path, group)
    t, x, f = inputs(shared, "t", "x", "F")
    lowest = config["pred_t"] if config["pred_t"] is not None else config["t_min"]
    row, edm = boundary.consistency(config["sigma_data"], lowest), precond.edm(config["sigma_data"])
    d = denoiser(constant(f), None, edm)(x, t)
    column = t[:, None, None, None]
    close(nchw(d), arrays["out/denoiser"])
    close(nchw((d - x) / column**2), arrays["out/score"])
    close(nchw(denoiser(constant(f), None, row)(x, t)), arrays["out/distiller"])
    close(nchw(denoiser(constant(f), None, boundary.additive(lowest))(x, t)), arrays["out/gaussianizer"])
    seen = []
    denoiser(lambda params, u, c_noise: seen.append((u, c_noise)) or u, None, row)(x, t)
    close(nchw(seen[0][0]), arrays["out/net_input"])
    close(seen[0][1], arrays["out/c_noise"])


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "grid"))
def test_grids(path, group, x64):
    arrays, config, _ = read(path, group)
    n, span = config["N"], (config["t_min"], config["t_max"], config["rho"])
    close(grids.karras(n, *span), arrays["out/sampler_sigmas"])
    sigma, sigma_next = levels.neighbours(np.arange(n - 1), n, *span)
    close(sigma, arrays["out/loss_t"])
    close(sigma_next, arrays["out/loss_t_next"])


@pytest.mark.parametrize(
    ("path", "group"),
    groups("consistency/schedules.npz", "curriculum") + groups("consistency/schedules_jax.npz", "c"),
)
def test_progressive_scales_and_target_decay(path, group, x64):
    arrays, config, _ = read(path, group)
    scales = schedules.progressive_scales(config["total_steps"], config["start_scales"], config["end_scales"])
    decay = partial(schedules.target_decay, start_decay=config["start_ema"], start=config["start_scales"])
    num_scales = jax.jit(scales)(arrays["in/step"])
    np.testing.assert_array_equal(num_scales, arrays["out/num_scales"])
    close(decay(num_scales), arrays["out/ema"])
    np.testing.assert_array_equal(num_scales, arrays.get("out/num_scales_fixed_ema", num_scales))
    if "table/num_scales_strided" in arrays:
        table = arrays["table/num_scales_strided"]
        np.testing.assert_array_equal(scales(np.arange(len(table)) * arrays["table/stride"]), table)


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "progdist"))
def test_halving_steps(path, group):
    arrays, config, _ = read(path, group)
    steps = schedules.halving_steps(config["distill_steps_per_iter"], config["start_scales"])
    np.testing.assert_array_equal(steps(arrays["in/step"].astype(np.int32)), arrays["out/num_scales"])


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "ict"))
def test_doubling_scales(path, group):
    arrays, config, _ = read(path, group)
    scales = schedules.doubling_scales(config["K"], config["s0"], config["s1"])
    np.testing.assert_array_equal(scales(arrays["in/step"].astype(np.int32)), arrays["out/num_scales"])


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "ict_prob"))
def test_lognormal_levels(path, group, x64):
    """Probabilities, and how often equally spaced uniform numbers fall on each interval: the table has K levels."""
    arrays, config, _ = read(path, group)
    n = config["N"]
    where = (config["P_mean"], config["P_std"], config["t_min"], config["t_max"], config["rho"])
    probabilities = levels.lognormal_probabilities(n, *where)[::-1]
    close(probabilities, arrays["out/prob"])
    sigma, sigma_next = (side[::-1] for side in levels.neighbours(np.arange(n - 1), n, *where[2:]))
    close(np.append(sigma_next, sigma[-1]), arrays["out/sigma"])
    close(1 / (sigma - sigma_next), arrays["out/weight"])
    count = 200_000
    drawn, drawn_next = levels.lognormal_levels((jnp.arange(count) + 0.5) / count, n, *where)
    index = np.searchsorted(arrays["out/sigma"], np.asarray(drawn_next) * (1 + 1e-9), side="right") - 1
    np.testing.assert_allclose(drawn, arrays["out/sigma"][index + 1], rtol=1e-9)
    share = np.bincount(index, minlength=n - 1) / count
    np.testing.assert_allclose(share, arrays["out/prob"], atol=1.001 / count)


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "pseudo_huber"))
def test_pseudo_huber(path, group, x64):
    arrays, config, _ = read(path, group)
    x, y = (nhwc(arrays[f"in/{name}"]) for name in "xy")
    for i, c in enumerate(config["c"]):
        close(pseudo_huber(x, y, c), arrays["out/d"][i])
        gradient = jax.grad(lambda x, c=c: jnp.sum(pseudo_huber(x, y, c)))(x)
        close(nchw(gradient), arrays["out/grad_x"][i])
    default = pseudo_huber(x, y)
    np.testing.assert_allclose(default, pseudo_huber(x, y, 0.00054 * np.sqrt(x[0].size)), rtol=1e-12)


@pytest.mark.parametrize(
    ("path", "group"), [p for p in groups("consistency/schedules.npz", "ect") if p.values[1] != "ect"]
)
def test_ect_mapping(path, group, x64):
    arrays, config, shared = read(path, group)
    t = jnp.asarray(shared["ect/in/t"].astype(np.float64))
    k = config["k"] if config["adj"] == "sigmoid" else 0.0
    for i, stage in enumerate(config["stages"]):
        r = levels.ect_sigma_next(t, stage, q=config["q"], k=k, b=config["b"])
        close(r, arrays["out/r"][i])
        close(1 / (t - r), arrays["out/weight"][i])
        close(1 - 1 / config["q"] ** (stage + 1), arrays["out/ratio"][i])
