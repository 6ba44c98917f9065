"""DDGAN's chain, pairs, posterior and sampling against recorded ones: exact, and with the shipped float32 tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import betas as chains
from jaxdiff import sde
from jaxdiff.losses import ddgan_process
from jaxdiff.reverse import FLOOR
from jaxdiff.samplers import ddgan, sample, trajectory, x0_sampler
from jaxdiff.train.adversarial import cosine_by_epoch
from tests.parity.ddpm_process import from_x, to_x
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("ddgan/coefficients.npz", "ddgan/diffusion.npz", "ddgan/sampling.npz")
FIRST_BETA = 1e-8  # of the released code, in float64
TOLERANCE = 1e-10
FLOAT32 = 2e-5


def cases(name, has=""):
    found = []
    for path in reference.files(name):
        arrays = reference.load(path)
        found += [pytest.param(arrays, case, id=case) for case in reference.cases(arrays) if case.startswith(has)]
    return found


def betas_of(config):
    make = chains.geometric if config["use_geometric"] else chains.vp
    return make(config["num_timesteps"], config["beta_min"], config["beta_max"])


def forward_tables(betas, first_beta):
    """The recorded forward tables, T + 1 entries, from ours."""
    process = ddgan_process.process(betas, first_beta)
    hop = np.append(np.sqrt(1 - first_beta), process.hop_signal)
    return {
        "betas": np.append(first_beta, betas),
        "sigmas": np.append(np.sqrt(first_beta), process.hop_std),
        "a_s": hop,
        "a_s_prev": np.append(hop[:-1], 1.0),
        "a_s_cum": process.signal,
        "sigmas_cum": process.std,
    }


def posterior_tables(betas):
    tables = chains.tables(betas)
    return {
        "betas": tables.betas,
        "alphas": 1 - tables.betas,
        "alphas_cumprod": tables.alpha_bar,
        "alphas_cumprod_prev": tables.alpha_bar_prev,
        "posterior_variance": tables.posterior_variance,
        "sqrt_alphas_cumprod": np.sqrt(tables.alpha_bar),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / tables.alpha_bar),
        "sqrt_recipm1_alphas_cumprod": chains.sigmas(betas)[:-1][::-1],
        "posterior_mean_coef1": tables.posterior_mean_coef1,
        "posterior_mean_coef2": tables.posterior_mean_coef2,
        "posterior_log_variance_clipped": np.log(np.maximum(tables.posterior_variance, FLOOR)),
    }


@pytest.mark.parametrize(("arrays", "case"), cases("ddgan/coefficients.npz", has="T"))
def test_coefficients(arrays, case):
    config = reference.config(arrays, case)
    recorded = reference.subset(arrays, f"{case}/out")
    betas = betas_of(config)
    forward, posterior = forward_tables(betas, FIRST_BETA), posterior_tables(betas)
    for name, table in forward.items():
        close(table, recorded[name], TOLERANCE)
    for name, table in posterior.items():
        close(table, recorded[f"posterior/{name}"], TOLERANCE)
    # In float32 the first beta is stored, but changes nothing; all tables follow from the rounded betas.
    rounded = recorded["betas_f32"][1:]
    close(betas, rounded, FLOAT32)
    clean = forward_tables(rounded, 0.0) | {
        name: forward_tables(rounded, FIRST_BETA)[name] for name in ("betas", "sigmas")
    }
    for name, table in clean.items():
        close(table, recorded[f"{name}_f32"], FLOAT32)
    for name, table in posterior_tables(rounded).items():
        close(table, recorded[f"posterior/{name}_f32"], FLOAT32)
    served = {name for name in recorded if not name.startswith("time")}
    names = {*forward, *(f"posterior/{name}" for name in posterior)}
    assert served == names | {f"{name}_f32" for name in names}
    steps = config["num_timesteps"]
    close(1e-3 + (1 - 1e-3) * np.arange(steps + 1) / steps, recorded["time"], TOLERANCE)


@pytest.mark.parametrize("path", reference.files("ddgan/coefficients.npz"), ids=reference.ids)
def test_variance_functions(path, x64):
    """VP's is that of the SDE; the geometric one shows in the chain of one step between two times."""
    arrays = reference.load(path)
    t = arrays["variance_functions/in/t"]
    for name, recorded in reference.subset(arrays, "variance_functions/out").items():
        kind, low, high = name.split("_")
        if kind == "vp":
            close(sde.vp(float(low), float(high)).std(t) ** 2, recorded, TOLERANCE)
        elif float(high) < 1:
            close(chains.geometric(1, float(low), float(high), t_min=t[0])[0],
                  1 - (1 - recorded[-1]) / (1 - recorded[0]), TOLERANCE)  # fmt: skip
        else:
            with pytest.raises(ValueError, match="variance_min, variance_max must rise"):
                chains.geometric(1, float(low), float(high))


@pytest.mark.parametrize(("arrays", "case"), cases("ddgan/coefficients.npz", has="lr"))
def test_learning_rates(arrays, case, x64):
    config, recorded = reference.config(arrays, case), arrays[f"{case}/out/lr"]
    steps_per_epoch = 7
    rate = cosine_by_epoch(config["lr"], steps_per_epoch, config["num_epoch"], config["eta_min"])
    epochs = config["stride"] * np.arange(len(recorded))
    for offset in (0, steps_per_epoch - 1):
        close(rate(jnp.asarray(steps_per_epoch * epochs + offset)), recorded, TOLERANCE)


def shipped(arrays, case):
    """The tables in use: float32 ones as recorded for `_tab32`, in the place of ours."""
    recorded = {name: np.asarray(a, np.float64) for name, a in reference.subset(arrays, f"{case}/out").items()}
    return ddgan_process.Process(
        recorded["a_s_cum_f32"],
        recorded["sigmas_cum_f32"],
        recorded["a_s_f32"][1:],
        recorded["sigmas_f32"][1:],
        recorded["posterior/posterior_mean_coef1_f32"],
        recorded["posterior/posterior_mean_coef2_f32"],
        np.append(0.0, np.exp(recorded["posterior/posterior_log_variance_clipped_f32"][1:] / 2)),
    )


def processes(case, config):
    """(suffix, tables, tolerance): exact; the shipped ones put in their place; and ours beside the pure float32 run."""
    (coefficients,) = reference.files("ddgan/coefficients.npz")
    yield "", ddgan_process.process(betas_of(config), FIRST_BETA), TOLERANCE
    yield "_tab32", shipped(reference.load(coefficients), case), TOLERANCE
    yield "_f32", ddgan_process.process(betas_of(config)), FLOAT32


@pytest.mark.parametrize(("arrays", "case"), cases("ddgan/diffusion.npz"))
def test_pairs_and_posterior(arrays, case, x64):
    inputs, t = reference.subset(arrays, f"{case}/in"), jnp.asarray(arrays[f"{case}/in/t"])
    images = {name: nhwc(a) for name, a in inputs.items() if name != "t"}
    noise_prev, noise = images["noise_first"], images["noise_second"]
    for suffix, process, tolerance in processes(case, reference.config(arrays, case)):
        x_prev, x = ddgan_process.pair(process, images["x_start"], t, noise_prev, noise)
        found = {
            "x_t": x_prev,
            "x_t_plus_one": x,
            "q_sample_t_plus_1": ddgan_process.diffuse(process, images["x_start"], t + 1, noise_prev),
            "posterior_sample": ddgan_process.posterior(
                process, images["x_0"], images["x_t_plus_one"], t, images["noise_posterior"]
            ),
        }
        for name, image in found.items():
            close(nchw(image), arrays[f"{case}/out/{name}{suffix}"], tolerance)


def generator_of(arrays):
    """The recorded analytic generator, on images flattened in the order C, H, W."""
    w_x, w_z = (jnp.asarray(arrays[f"in/{name}"], jnp.float64) for name in ("W_x", "W_z"))

    def apply_fn(params, x, t, latent):
        flat = jnp.moveaxis(x, -1, 1).reshape(x.shape[0], -1)
        out = jnp.tanh(0.8 * flat @ w_x + 0.5 * flat + latent @ w_z + 0.1 * t[:, None])
        return jnp.moveaxis(out.reshape(x.shape[0], x.shape[-1], *x.shape[1:3]), 1, -1)

    return apply_fn


@pytest.mark.parametrize(("arrays", "case"), cases("ddgan/sampling.npz"))
def test_sampling(arrays, case, x64):
    """The library's sampler on the chain's grid, in x = x0 + sigma n, with replayed latents and noise."""
    betas = betas_of(reference.config(arrays, case))
    inputs, recorded = reference.subset(arrays, f"{case}/in"), reference.subset(arrays, f"{case}/out")
    grid = chains.sigmas(betas)
    noise = jnp.asarray(inputs["z"], jnp.float64), nhwc(inputs["noise"])
    asked = []

    def apply_fn(params, x, t, latent):
        jax.debug.callback(lambda t: asked.append(np.array(t)), t, ordered=True)
        return generator_of(arrays)(params, x, t, latent)

    model = x0_sampler(apply_fn, None, betas)
    start = to_x(nhwc(inputs["x_init"]), grid[0])
    end, xs = trajectory(ddgan(inputs["z"].shape[-1]), model, start, grid, noise=noise)
    jax.effects_barrier()
    close(asked, recorded["gen_t"])
    close(nchw(end), recorded["final"], TOLERANCE)
    silent = x0_sampler(generator_of(arrays), None, betas)
    for step, sigma in enumerate(grid[:-1]):
        close(nchw(from_x(xs[step], sigma)), recorded["gen_x"][step], TOLERANCE)
        close(nchw(silent(xs[step], sigma, noise[0][step])), recorded["gen_x0"][step], TOLERANCE)
    single = jax.tree.map(lambda a: a.astype(jnp.float32), (start, noise))
    small = sample(ddgan(inputs["z"].shape[-1]), silent, single[0], grid, noise=single[1])
    close(nchw(small), recorded["final_f32"], FLOAT32)


@pytest.mark.parametrize(("arrays", "case"), cases("ddgan/sampling.npz"))
def test_sampling_with_the_shipped_tables(arrays, case, x64):
    """In native coordinates, since float32 tables are those of no grid."""
    (coefficients,) = reference.files("ddgan/coefficients.npz")
    process, generator = shipped(reference.load(coefficients), case), generator_of(arrays)
    x, latent, noise = (arrays[f"{case}/in/{name}"].astype(np.float64) for name in ("x_init", "z", "noise"))
    x, noise = nhwc(x), nhwc(noise)
    for step in range(len(latent)):
        t = jnp.full(len(x), len(latent) - 1 - step)
        x0 = generator(None, x, t, jnp.asarray(latent[step]))
        close(nchw(x), arrays[f"{case}/out/gen_x_tab32"][step], TOLERANCE)
        close(nchw(x0), arrays[f"{case}/out/gen_x0_tab32"][step], TOLERANCE)
        x = ddgan_process.posterior(process, x0, x, t, noise[step])
    close(nchw(x), arrays[f"{case}/out/final_tab32"], TOLERANCE)
