"""Recorded samplers of the three consistency releases: the exact denoiser of a mixture in every role, or a TinyNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids, guidance, precond
from jaxdiff.editing import slerp
from jaxdiff.precond import denoiser
from jaxdiff.samplers import churn, consistency, ddim, dpm_2, euler, heun, sample, time_points
from jaxdiff.timesteps.curricula import halving_steps
from tests.parity.consistency_cases import OPTIONS, tiny
from tests.parity.score_sde import denoiser_of, float64, tiny_params
from tests.support import reference
from tests.support.arrays import close
from tests.support.tiers import by, first_of_a_kind

READS = ("consistency/sampler_*.npz", "consistency/samplers*.npz", "consistency/jcm_samplers*.npz")
TOLERANCE = 1e-7
JAX = reference.files("consistency/sampler_jax.npz", READS[2])
TORCH = [path for path in reference.files(*READS[:2]) if path.stem not in ("sampler_jax", "sampler_ect")]
CHURN = {"s_churn": "s_churn", "s_tmin": "s_min", "s_tmax": "s_max", "s_noise": "s_noise"}
RANGE = {"rho": 7.0, "sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5}
CLIPPED = (
    "each consistency output clipped to [-1,1]",
    "network output clipped to [-1,1]; result not clipped",
)
NEW_NOISE = ("heun", "dpm", "ancestral", "multistep")
"""Samplers that draw noise in every step, used or not."""
OUTPUTS = {
    "sample_unclamped": "final_unclamped", "sample": "final", "eval_sigma": "call_sigma", "eval_x": "call_x",
    "noise_rows_used": "noise_used", "call_t": "call_sigma", "samples": "final", "x": "final",
}  # fmt: skip


def every_case(paths, wanted=lambda case: True):
    for path in paths:
        arrays = reference.load(path)
        yield from (
            pytest.param(arrays, case, id=f"{path.stem}-{case}") for case in reference.cases(arrays) if wanted(case)
        )


def options_of(arrays, case, *names, **fixed):
    """The options of a case, every one of which is known, with what the releases take where nothing is said."""
    said = {OPTIONS.get(name, name): value for name, value in reference.config(arrays, case).items()}
    return {**RANGE, **reference.only(said, *RANGE, *names, **fixed)}


def levels_of(config, num_levels):
    """num_levels levels down to the lowest, without the 0. The release's rho argument does not reach its multistep."""
    rho = config.get("diffusion_rho", config["rho"])
    return grids.karras(num_levels, config["sigma_min"], config["sigma_max"], rho)[:-1]


def at(levels, indices):
    """Levels by their indices; one beyond the last is the last."""
    return levels[np.minimum(indices, len(levels) - 1)]


def consistency_function(arrays, config, scale, prefix):
    """Of the recorded TinyNet, on images whose channels come last."""
    parametrisation = precond.consistency(config["sigma_data"], config["sigma_min"], config["sigma_max"], scale)
    return denoiser(tiny, tiny_params(arrays, prefix), parametrisation)


def channels_first(denoise):
    """D of images that stay as they are stored."""
    return lambda x, sigma: jnp.moveaxis(denoise(jnp.moveaxis(x, 1, -1), sigma), -1, 1)


def noise_of(sampler, noise, num_steps):
    """The first rows, in the shape that the sampler draws; one that the release never drew is multiplied by 0 here."""
    drawn = jax.eval_shape(sampler.draw, jax.random.key(0), jnp.zeros(noise.shape[2:]))
    if not jax.tree.leaves(drawn):
        return None
    missing = jnp.zeros((max(num_steps - len(noise), 0), *noise.shape[1:]))
    rows = jnp.concatenate([noise, missing])[:num_steps]
    return (rows, ()) if isinstance(drawn, tuple) else rows


def compare(arrays, case, sampler, denoise, x, grid, noise, clamped=False, **ours):
    """Every recorded output of a run: where it ends, clamped or not, and what it asked on the way."""
    calls = []

    def recorded_denoise(x, sigma):
        jax.debug.callback(lambda *call: calls.append(call), x, sigma, ordered=True)
        return denoise(x, sigma)

    noise = noise_of(sampler, float64(noise), len(grid) - 1)
    run = jax.jit(lambda x: sample(sampler, recorded_denoise, x, grid, noise=noise))
    out = jax.block_until_ready(run(x))
    jax.effects_barrier()
    final = jnp.clip(out, -1, 1) if clamped else out
    found = {"final_unclamped": out, "final": final, "count": len(calls)} | ours
    found |= {"call_x": [np.asarray(x) for x, _ in calls], "call_sigma": [sigma for _, sigma in calls]}
    recorded = {OUTPUTS.get(name, name): value for name, value in reference.subset(arrays, f"{case}/out").items()}
    assert set(recorded) <= set(found), f"no test compares {sorted(set(recorded) - set(found))}"
    for name, expected in recorded.items():
        assert len(found[name]) == len(expected) if name.startswith("call") else True
        close(found[name], expected, 1e-10 if name == "call_sigma" else TOLERANCE)


def torch_run(config):
    """(sampler, grid, how many levels the release's grid has) of a case."""
    steps, name, lowest = config["steps"], config["sampler"], config["sigma_min"]
    if name == "onestep":
        return consistency(lowest), time_points((), lowest, config["sigma_max"]), steps
    if name == "multistep":
        return consistency(lowest), at(levels_of(config, steps), config["ts"]), steps
    if name == "progdist":
        return euler(), levels_of(config, steps + 1), steps + 1
    sampler = {"heun": heun, "dpm": dpm_2, "euler": euler, "ancestral": lambda: ddim(1.0)}[name]()
    options = {ours: config[theirs] for theirs, ours in CHURN.items() if theirs in config}
    churned = churn(sampler, **options) if options.get("s_churn") else sampler
    return churned, np.append(levels_of(config, steps), 0.0), steps


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(every_case(TORCH), by("sampler", "s_churn")))
def test_torch(arrays, case, x64):
    config = options_of(arrays, case, "sampler", "steps", "ts", "clip_denoised", "diffusion_rho", *CHURN)
    sampler, sigmas, num_levels = torch_run(config)
    trained = config["sampler"] in ("onestep", "multistep") and "param/W1" in arrays and not case.endswith("-denoiser")
    function = channels_first(consistency_function(arrays, config, 250.0, "param")) if trained else denoiser_of(arrays)
    denoise = guidance.clip(function) if config.get("clip_denoised") else function
    start = arrays["in/z_T" if "in/z_T" in arrays else "in/x_T"]
    noise = arrays.get("in/noise", np.zeros((0, *start.shape)))
    drawn = len(sigmas) - 1 if config["sampler"] in NEW_NOISE else 0
    grid = np.append(levels_of({**config, "diffusion_rho": config["rho"]}, num_levels), 0.0)
    compare(
        arrays, case, sampler, denoise, sigmas[0] * float64(start), sigmas, noise, noise_used=drawn, sigmas=grid,
        clamped=True,
    )  # fmt: skip


def jcm_options(arrays, case):
    """A case's options in the words of the first set; the second's lie in its name."""
    config = options_of(
        arrays, case, "method", "denoise", "N", "train_N", "ts", "std", "t", "step", "start_scales",
        "distill_steps_per_iter", layout=("NHWC",), clip=CLIPPED, init=("z*t + 0.2",),
    )  # fmt: skip
    if "method" in config:
        return {**config, "method": config["method"].split()[-1].strip("()")}
    return {**config, "method": case.split("-")[0], "denoise": not case.endswith("-nodenoise")}


def jax_run(config):
    """(sampler, grid, what the release counts: its scales, where there are some, else evaluations) of a case."""
    low, high = config["sigma_min"], config["sigma_max"]
    if config["method"] in ("onestep", "seeded"):
        return consistency(low), time_points((), low, config.get("std", config.get("t", high))), 1
    if config["method"] in ("notebook", "multistep"):
        return consistency(low), at(levels_of(config, config["train_N"]), config["ts"]), len(config["ts"]) - 1
    sampler = {"heun": heun, "euler": euler, "progdist": euler}[config["method"]]()
    if config["method"] == "progdist":
        count = int(halving_steps(config["distill_steps_per_iter"], config["start_scales"])(config["step"]))
        levels = levels_of(config, count + 1)
    else:
        count = config["N"]
        levels = levels_of(config, count)
    return sampler, np.append(levels, 0.0) if config["denoise"] else levels, count


@pytest.mark.parametrize(
    ("arrays", "case"), first_of_a_kind(every_case(JAX, lambda case: case != "slerp"), by("method", "ts", "t"))
)
def test_jax(arrays, case, x64):
    config = jcm_options(arrays, case)
    sampler, sigmas, count = jax_run(config)
    few_step = config["method"] in ("onestep", "seeded", "multistep", "notebook")
    trained = few_step and "param/student/W1" in arrays
    function = consistency_function(arrays, config, 0.25, "param/student") if trained else denoiser_of(arrays)
    # The notebook clips what the network says, and starts from t_max also where its first time is a lower one.
    denoise = guidance.clip(function) if config["method"] in ("notebook", "multistep") else function
    normal = float64(arrays["in/z" if "in/z" in arrays else "in/x_T"])
    start = config.get("std", config["sigma_max"]) * normal
    if config["method"] == "seeded":
        start = float64(arrays.get(f"{case}/in/init", config["t"] * normal + 0.2))
    compare(arrays, case, sampler, denoise, start, sigmas, arrays["in/noise"], count=count, num_scales=count)


def ect_cases():
    yield from every_case(reference.files("consistency/sampler_ect.npz"))
    yield from every_case(reference.files("consistency/ect.npz"), lambda case: case.startswith("sample"))


@pytest.mark.parametrize(("arrays", "case"), list(ect_cases()))
def test_ect(arrays, case, x64):
    config = options_of(arrays, case, "mid_t", "t_max")
    sigmas = time_points(config["mid_t"] or (), sigma_min=0.0, sigma_max=config["sigma_max"])
    own = reference.subset(arrays, case)
    if "in/latents" in own:  # evaluation shifts the parametrisation
        denoise = channels_first(consistency_function(arrays, config, 0.25, "loss/param"))
        start, noise = own["in/latents"], own.get("in/noise", np.zeros((0, *own["in/latents"].shape)))
    else:
        denoise, start, noise = denoiser_of(arrays), arrays["in/z"], arrays["in/noise"]
    compare(arrays, case, consistency(0.0), denoise, sigmas[0] * float64(start), sigmas, noise)


@pytest.mark.parametrize("path", JAX, ids=reference.ids)
def test_slerp(path, x64):
    arrays = reference.subset(reference.load(path), "slerp")
    z0, z1 = (float64(arrays[f"in/{name}"]).reshape(1, -1) for name in ("z1", "z2"))
    for weight, expected in zip(arrays["in/t"].astype(np.float64), arrays["out/z"], strict=True):
        close(slerp(z0, z1, weight)[0], expected.ravel(), TOLERANCE)
