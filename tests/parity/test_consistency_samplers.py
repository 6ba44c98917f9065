"""Recorded samplers of the three consistency releases, with the exact denoiser of a mixture in every role."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids, guidance
from jaxdiff.latents import slerp
from jaxdiff.samplers import churn, consistency, ddim, dpm_2, euler, heun, sample, time_points
from tests.parity.score_sde import denoiser_of, float64
from tests.support import reference
from tests.support.arrays import close
from tests.support.tiers import by, first_of_a_kind

READS = ("consistency/sampler_*.npz",)
TOLERANCE = 1e-7
TORCH = [path for path in reference.files(*READS) if path.stem not in ("sampler_jax", "sampler_ect")]
CHURN = {"s_churn": "s_churn", "s_tmin": "s_min", "s_tmax": "s_max", "s_noise": "s_noise"}


def every_case(paths, wanted=lambda case: True):
    for path in paths:
        arrays = reference.load(path)
        yield from (
            pytest.param(arrays, case, id=f"{path.stem}-{case}") for case in reference.cases(arrays) if wanted(case)
        )


def levels_of(config, num_levels, low="sigma_min", high="sigma_max"):
    """num_levels levels down to the lowest, without the 0. The release's rho argument does not reach its multistep."""
    rho = config.get("diffusion_rho", config.get("rho", 7.0))
    return grids.karras(num_levels, config.get(low, 0.002), config.get(high, 80.0), rho)[:-1]


def at(levels, indices):
    """Levels by their indices; one beyond the last is the last."""
    return levels[np.minimum(indices, len(levels) - 1)]


def torch_run(config):
    """(sampler, grid) of a case."""
    steps, name = config["steps"], config["sampler"]
    sigma_min, sigma_max = config.get("sigma_min", 0.002), config.get("sigma_max", 80.0)
    if name == "onestep":
        return consistency(sigma_min), time_points((), sigma_min, sigma_max)
    if name == "multistep":
        return consistency(sigma_min), at(levels_of(config, steps), config["ts"])
    if name == "progdist":
        return euler(), levels_of(config, steps + 1)
    sampler = {"heun": heun, "dpm": dpm_2, "euler": euler, "ancestral": lambda: ddim(1.0)}[name]()
    options = {ours: config[theirs] for theirs, ours in CHURN.items() if theirs in config}
    return (churn(sampler, **options) if options else sampler), np.append(levels_of(config, steps), 0.0)


def noise_of(sampler, noise, num_steps):
    """The first rows, in the shape that the sampler draws."""
    drawn = jax.eval_shape(sampler.draw, jax.random.key(0), jnp.zeros(noise.shape[2:]))
    if not jax.tree.leaves(drawn):
        return None
    rows = noise[:num_steps]
    return (rows, ()) if isinstance(drawn, tuple) else rows


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(every_case(TORCH), by("sampler", "s_churn")))
def test_torch(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    exact, calls = denoiser_of(arrays), []

    def denoise(x, sigma):
        jax.debug.callback(lambda *call: calls.append(call), x, sigma, ordered=True)
        return exact(x, sigma)

    denoise = guidance.clip(denoise) if config.get("clip_denoised") else denoise
    sampler, sigmas = torch_run(config)
    # A row that the release never drew, after its last evaluation, is multiplied by 0 here.
    noise = float64(arrays.get("in/noise", np.zeros((0, 5, 2))))
    missing = max(len(sigmas) - 1 - len(noise), 0)
    noise = noise_of(sampler, jnp.concatenate([noise, jnp.zeros((missing, *noise.shape[1:]))]), len(sigmas) - 1)
    x = sigmas[0] * float64(arrays["in/z_T"])
    out = jax.block_until_ready(jax.jit(lambda x: sample(sampler, denoise, x, sigmas, noise=noise))(x))
    jax.effects_barrier()
    close(out, recorded["sample_unclamped"], TOLERANCE)
    close(jnp.clip(out, -1, 1), recorded["sample"], TOLERANCE)
    assert len(calls) == len(recorded["eval_sigma"])
    np.testing.assert_allclose([sigma for _, sigma in calls], recorded["eval_sigma"], rtol=1e-10)
    for (called, _), expected in zip(calls, recorded["eval_x"], strict=True):
        close(called, expected, TOLERANCE)


def jax_run(config):
    """(sampler, grid, whether the denoiser is clipped) of a case."""
    low, high = config["t_min"], config.get("t_max")
    if config["method"] in ("onestep", "seeded"):
        return consistency(low), time_points((), low, config.get("std", config.get("t"))), False
    if "train_N" in config:
        return consistency(low), at(levels_of(config, config["train_N"], "t_min", "t_max"), config["ts"]), True
    num_levels = config["N"] if "N" in config else config["num_scales"] + 1
    sigmas = grids.karras(num_levels, low, high, config["rho"])
    return (heun if config["method"] == "heun" else euler)(), sigmas if config["denoise"] else sigmas[:-1], False


@pytest.mark.parametrize(
    ("arrays", "case"),
    first_of_a_kind(
        every_case(reference.files("consistency/sampler_jax.npz"), lambda case: case != "slerp"), by("method")
    ),
)
def test_jax(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    if "num_scales" in recorded:
        config["num_scales"] = int(recorded["num_scales"])
    sampler, sigmas, clipped = jax_run(config)
    denoise = denoiser_of(arrays)
    denoise = guidance.clip(denoise) if clipped else denoise
    # The notebook starts from t_max also where its first time is a lower one.
    x = config.get("t_max", sigmas[0]) * float64(arrays["in/z"]) + (0.2 if config["method"] == "seeded" else 0.0)
    noise = noise_of(sampler, float64(arrays["in/noise"]), len(sigmas) - 1)
    out = jax.jit(lambda x: sample(sampler, denoise, x, sigmas, noise=noise))(x)
    close(out, recorded["sample"], TOLERANCE)


@pytest.mark.parametrize(("arrays", "case"), list(every_case(reference.files("consistency/sampler_ect.npz"))))
def test_ect(arrays, case, x64):
    config = reference.config(arrays, case)
    sigmas = time_points(config["mid_t"] or (), sigma_min=0.0, sigma_max=config["t_max"])
    noise = float64(arrays["in/noise"])[: len(sigmas) - 1]
    run = jax.jit(lambda x: sample(consistency(0.0), denoiser_of(arrays), x, sigmas, noise=noise))
    close(run(sigmas[0] * float64(arrays["in/z"])), arrays[f"{case}/out/sample"], TOLERANCE)


@pytest.mark.parametrize("path", reference.files("consistency/sampler_jax.npz"), ids=reference.ids)
def test_slerp(path, x64):
    arrays = reference.subset(reference.load(path), "slerp")
    z0, z1 = (float64(arrays[f"in/{name}"])[None] for name in ("z1", "z2"))
    for weight, expected in zip(arrays["in/t"].astype(np.float64), arrays["out/z"], strict=True):
        close(slerp(z0, z1, weight)[0], expected, TOLERANCE)
