"""Parametrisations, weights, grids and curricula of consistency models."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids, precond, timesteps
from jaxdiff.losses.distances import pseudo_huber
from jaxdiff.precond import denoiser
from tests.parity.consistency_cases import agree, cases, channels_last, table, weights
from tests.support import reference
from tests.support.arrays import close, nchw
from tests.support.pair_probabilities import pair_probabilities
from tests.support.parametrisation import additive

READS = ("consistency/scalings*.npz", "consistency/schedules*.npz")
COEFFICIENTS = ("c_skip", "c_out", "c_in")


def groups(pattern, prefix):
    """Every group of recorded arrays whose name is `prefix` and a number, as (path, group)."""
    return cases(pattern, wanted=lambda name: name.rstrip("0123456789") == prefix)


def constant(value):
    """A network with a recorded output."""
    return lambda params, x, c_noise: value


def float64(arrays, *names):
    """Recorded inputs, images channels last."""
    return [channels_last(arrays[f"in/{name}"]) for name in names]


@pytest.mark.parametrize(("path", "group"), groups("consistency/scalings.npz", "s"))
def test_rows_of_torch(path, group, x64):
    arrays, config = table(path, group, "system", "sigma_data", "sigma_min", "sigma_max")
    shared = reference.load(path)
    (t,), (x, f) = float64(shared, "t"), float64(arrays, "x", "F")
    where = config["sigma_data"], config["sigma_min"], config["sigma_max"]
    ours = {f"weight_{name}": weight(t) for name, weight in weights(config["sigma_data"]).items()}
    for name, parametrisation in (
        ("boundary", precond.consistency(*where, 250.0)),
        ("edm", precond.edm(config["sigma_data"])),
    ):
        ours |= {f"{name}_{coefficient}": getattr(parametrisation, coefficient)(t) for coefficient in COEFFICIENTS}
        ours[f"{name}_denoised"] = nchw(denoiser(constant(f), None, parametrisation)(x, t))
    agree(arrays, c_noise=precond.consistency(*where, 250.0).c_noise(t), **ours)
    close(precond.consistency(*where).c_noise(t), shared["out/c_noise_jcm"])


@pytest.mark.parametrize(("path", "group"), groups("consistency/scalings_jax.npz", "s"))
def test_rows_of_jcm(path, group, x64):
    arrays, config = table(path, group, "pred_t", "sigma_data", "sigma_min")
    t, x, f = float64(reference.load(path), "t", "x", "F")
    lowest = config["pred_t"] if config["pred_t"] is not None else config["sigma_min"]
    parametrisation, edm = precond.consistency(config["sigma_data"], lowest), precond.edm(config["sigma_data"])
    d = denoiser(constant(f), None, edm)(x, t)
    seen = []
    denoiser(lambda params, u, c_noise: seen.append((u, c_noise)) or u, None, parametrisation)(x, t)
    agree(
        arrays,
        denoiser=nchw(d),
        score=nchw((d - x) / t[:, None, None, None] ** 2),
        distiller=nchw(denoiser(constant(f), None, parametrisation)(x, t)),
        gaussianizer=nchw(denoiser(constant(f), None, additive(lowest))(x, t)),
        net_input=nchw(seen[0][0]),
        c_noise=seen[0][1],
    )


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "grid"))
def test_grids(path, group, x64):
    arrays, config = table(path, group, "N", "sigma_min", "sigma_max", "rho")
    n, span = config["N"], (config["sigma_min"], config["sigma_max"], config["rho"])
    sigma, sigma_next = timesteps.pairs.adjacent_levels(np.arange(n - 1), n, *span)
    agree(arrays, sampler_sigmas=grids.karras(n, *span), loss_t=sigma, loss_t_next=sigma_next)


@pytest.mark.parametrize(
    ("path", "group"),
    groups("consistency/schedules.npz", "curriculum") + groups("consistency/schedules_jax.npz", "c"),
)
def test_progressive_scales_and_target_decay(path, group, x64):
    arrays, config = table(
        path, group, "total_steps", "start_scales", "end_scales", "start_ema",
        scale_mode=("progressive",), target_ema_mode=("adaptive",),
    )  # fmt: skip
    scales = timesteps.curricula.progressive_scales(config["total_steps"], config["start_scales"], config["end_scales"])
    decay = partial(timesteps.curricula.target_decay, start_decay=config["start_ema"], start=config["start_scales"])
    num_scales = jax.jit(scales)(arrays["in/step"])
    agree(arrays, num_scales=num_scales, ema=decay(num_scales), num_scales_fixed_ema=num_scales)
    if "table/num_scales_strided" in arrays:
        table_of_all = arrays["table/num_scales_strided"]
        np.testing.assert_array_equal(scales(np.arange(len(table_of_all)) * arrays["table/stride"]), table_of_all)


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "progdist"))
def test_halving_steps(path, group):
    arrays, config = table(path, group, "distill_steps_per_iter", "start_scales")
    steps = timesteps.curricula.halving_steps(config["distill_steps_per_iter"], config["start_scales"])
    agree(arrays, num_scales=steps(arrays["in/step"].astype(np.int32)))


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "ict"))
def test_doubling_scales(path, group):
    arrays, config = table(path, group, "K", "K_prime", "s0", "s1", "formula")
    scales = timesteps.curricula.doubling_scales(config["K"], config["s0"], config["s1"])
    agree(arrays, num_scales=scales(arrays["in/step"].astype(np.int32)))
    assert scales(config["K_prime"]) != scales(config["K_prime"] - 1) == scales(0)


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "ict_prob"))
def test_lognormal_levels(path, group, x64):
    """Probabilities, and how often equally spaced uniform numbers fall on each interval: the table has K levels."""
    arrays, config = table(
        path, group, "N", "P_mean", "P_std", "sigma_min", "sigma_max", "rho", order=("increasing noise",)
    )  # fmt: skip
    n = config["N"]
    where = (config["P_mean"], config["P_std"], config["sigma_min"], config["sigma_max"], config["rho"])
    draw = lambda uniform: timesteps.pairs.lognormal_levels(uniform, n, *where)  # noqa: E731
    probabilities = pair_probabilities(draw, n, *where[2:])[::-1]
    sigma, sigma_next = (side[::-1] for side in timesteps.pairs.adjacent_levels(np.arange(n - 1), n, *where[2:]))
    agree(arrays, prob=probabilities, sigma=np.append(sigma_next, sigma[-1]), weight=1 / (sigma - sigma_next))
    count = 200_000
    drawn, drawn_next = draw((jnp.arange(count) + 0.5) / count)
    index = np.searchsorted(arrays["out/sigma"], np.asarray(drawn_next) * (1 + 1e-9), side="right") - 1
    np.testing.assert_allclose(drawn, arrays["out/sigma"][index + 1], rtol=1e-9)
    share = np.bincount(index, minlength=n - 1) / count
    np.testing.assert_allclose(share, arrays["out/prob"], atol=1.001 / count)


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "pseudo_huber"))
def test_pseudo_huber(path, group, x64):
    arrays, config = table(path, group, "c")
    x, y = float64(arrays, "x", "y")
    gradient = jax.grad(lambda x, c: jnp.sum(pseudo_huber(x, y, c)))
    agree(
        arrays,
        d=np.stack([pseudo_huber(x, y, c) for c in config["c"]]),
        grad_x=np.stack([nchw(gradient(x, c)) for c in config["c"]]),
    )
    default = pseudo_huber(x, y)
    np.testing.assert_allclose(default, pseudo_huber(x, y, 0.00054 * np.sqrt(x[0].size)), rtol=1e-12)


@pytest.mark.parametrize(("path", "group"), groups("consistency/schedules.npz", "ect"))
def test_ect_mapping(path, group, x64):
    arrays, config = table(path, group, "q", "k", "b", "stages", adj=("sigmoid", "const"))
    t = jnp.asarray(reference.load(path)["ect/in/t"].astype(np.float64))
    k = config["k"] if config["adj"] == "sigmoid" else 0.0
    r = np.stack(
        [timesteps.pairs.ect_sigma_next(t, stage, q=config["q"], k=k, b=config["b"]) for stage in config["stages"]]
    )
    ratio = [1 - 1 / config["q"] ** (stage + 1) for stage in config["stages"]]
    agree(arrays, r=r, weight=1 / (t[None] - r), ratio=ratio)
