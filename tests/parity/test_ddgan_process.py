"""DDGAN's pairs, posterior and sampling against recorded ones: exact, and with the shipped float32 tables."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, process
from jaxdiff.samplers import ddgan, sample, trajectory, x0_sampler
from tests.parity.ddgan_networks import cases
from tests.parity.ddgan_process import FIRST_BETA, FLOAT32, TOLERANCE, betas_of, first_name, shipped
from tests.parity.ddpm_process import from_x, to_x
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("ddgan/diffusion.npz", "ddgan/sampling.npz", "ddgan/process_T*.npz")
SECOND = {
    "in/x_0": "in/x_start", "in/noise_x_t": "in/noise_first", "in/noise_x_tp1": "in/noise_second",
    "out/x_tp1": "out/x_t_plus_one",
}  # fmt: skip
POSTERIOR = {
    "in/x_t": "in/x_t_plus_one", "in/noise": "in/noise_posterior", "out/sample": "out/posterior_sample",
}  # fmt: skip
OF_LOOP = {"out/x_0": "out/gen_x0", "out/t": "out/gen_t", "out/x_trajectory": "out/gen_x"}
SUFFIX = {"_f32tables": "_tab32", "_f32": "_f32"}


def named(arrays, names):
    """By the names of the first set, also with the suffixes of other precisions."""
    every = {name + ours: names.get(name, name) + suffix for name in arrays for ours, suffix in SUFFIX.items()}
    every |= {old + ours: new + suffix for old, new in names.items() for ours, suffix in SUFFIX.items()}
    return reference.Arrays({(every | names).get(name, name): a for name, a in arrays.items()}, arrays.path)


def of_kind(kind, names):
    """The cases of the second set of one kind, by the names of the first."""
    found = [case for case in cases(READS[2:], {}) if case.values[1]["kind"] == kind]
    return [case._replace(values=(named(case.values[0], names), case.values[1])) for case in found]


def processes(arrays, betas, case):
    """(suffix, tables, tolerance): exact; the shipped ones instead of them; and ours against the pure float32 run."""
    exact = process.ddgan.discretize(betas, FIRST_BETA)
    yield "", exact, TOLERANCE
    yield "_tab32", shipped(betas, shipped_tables(arrays, case)), TOLERANCE
    yield "_f32", process.ddgan.discretize(betas), FLOAT32


def shipped_tables(arrays, case):
    """Of the case, where it has some, else those in the first set's file of tables."""
    if second := reference.subset(arrays, "table"):
        return {first_name(name): a for name, a in second.items()}
    (coefficients,) = reference.files("ddgan/coefficients.npz")
    return reference.subset(reference.load(coefficients), f"{case}/out")


@pytest.fixture
def case(request):
    """The name of the case in its file."""
    return request.node.callspec.id.split("-", 1)[1]


@pytest.mark.parametrize(("arrays", "config"), [*cases(READS[:1], {}), *of_kind("forward_pair", SECOND)])
def test_pairs(arrays, config, case, x64):
    inputs, t = reference.subset(arrays, "in"), jnp.asarray(arrays["in/t"])
    x0, noise_prev, noise = (nhwc(inputs[name]) for name in ("x_start", "noise_first", "noise_second"))
    for suffix, chain, tolerance in processes(arrays, betas_of(config), case):
        x_prev, x = process.ddgan.pair(chain, x0, t, noise_prev, noise)
        found = {"x_t": x_prev, "x_t_plus_one": x}
        if "out/q_sample_t_plus_1" in arrays:
            found["q_sample_t_plus_1"] = process.ddgan.diffuse(chain, x0, t + 1, noise_prev)
        for name, image in found.items():
            close(nchw(image), arrays[f"out/{name}{suffix}"], tolerance)


@pytest.mark.parametrize(("arrays", "config"), [*cases(READS[:1], {}), *of_kind("posterior_sample", POSTERIOR)])
def test_posterior(arrays, config, case, x64):
    t, noise = jnp.asarray(arrays["in/t"]), nhwc(arrays["in/noise_posterior"])
    x0, x = nhwc(arrays["in/x_0"]), nhwc(arrays["in/x_t_plus_one"])
    for suffix, chain, tolerance in processes(arrays, betas_of(config), case):
        found = process.ddgan.sample_posterior(chain, x0, x, t, noise)
        close(nchw(found), arrays[f"out/posterior_sample{suffix}"], tolerance)
        if f"out/mean{suffix}" in arrays:
            mean = process.ddgan.sample_posterior(chain, x0, x, t, jnp.zeros_like(noise))
            close(nchw(mean), arrays[f"out/mean{suffix}"], tolerance)


def generator_of(arrays):
    """A recorded analytic generator, on images flattened in the order C, H, W."""
    if "generator/A" in arrays:
        exact = partial(
            gaussian_mixture.denoiser,
            gaussian_mixture.mixture(*(arrays[f"mixture/{n}"] for n in ("means", "weights", "var"))),
        )
        gain, level, w_z = (jnp.asarray(arrays[f"generator/{name}"]) for name in ("gain", "level", "A"))
        on_flat = lambda x, t, z: exact(x / gain[t.astype(int)][:, None], level[t.astype(int)]) + z @ w_z  # noqa: E731
    else:
        w_x, w_z = (jnp.asarray(arrays[f"in/{name}"], jnp.float64) for name in ("W_x", "W_z"))
        on_flat = lambda x, t, z: jnp.tanh(0.8 * x @ w_x + 0.5 * x + z @ w_z + 0.1 * t[:, None])  # noqa: E731

    def apply_fn(params, x, t, latent):
        out = on_flat(jnp.moveaxis(x, -1, 1).reshape(x.shape[0], -1), t, latent)
        return jnp.moveaxis(out.reshape(x.shape[0], x.shape[-1], *x.shape[1:3]), 1, -1)

    return apply_fn


def loops():
    """Sampling loops; the first set keeps the generator's weights with its cases."""
    first = []
    for case in cases(READS[1:2], {}):
        arrays, config = case.values
        whole = reference.load(arrays.path)
        weights = {name: whole[name] for name in ("in/W_x", "in/W_z")}
        first.append(case._replace(values=(reference.Arrays(arrays | weights, arrays.path), config)))
    return [*first, *of_kind("sample_from_model", OF_LOOP)]


@pytest.mark.parametrize(("arrays", "config"), loops())
def test_sampling(arrays, config, x64):
    """The library's sampler on the chain's grid, in x = x0 + sigma n, with replayed latents and noise."""
    betas = betas_of(config, "nz")
    inputs, recorded = reference.subset(arrays, "in"), reference.subset(arrays, "out")
    latent_dim = config.get("nz", inputs["z"].shape[-1])
    grid = process.betas.sigmas(betas)
    noise = jnp.asarray(inputs["z"], jnp.float64), nhwc(inputs["noise"])
    asked = []

    def apply_fn(params, x, t, latent):
        jax.debug.callback(lambda t: asked.append(np.array(t)), t, ordered=True)
        return generator_of(arrays)(params, x, t, latent)

    model = x0_sampler(apply_fn, None, betas)
    start = to_x(nhwc(inputs["x_init"]), grid[0])
    end, xs = trajectory(ddgan(latent_dim), model, start, grid, noise=noise)
    jax.effects_barrier()
    close(asked, recorded["gen_t"])
    close(nchw(end), recorded["final"], TOLERANCE)
    silent = x0_sampler(generator_of(arrays), None, betas)
    for step, sigma in enumerate(grid[:-1]):
        close(nchw(from_x(xs[step], sigma)), recorded["gen_x"][step], TOLERANCE)
        close(nchw(silent(xs[step], sigma, noise[0][step])), recorded["gen_x0"][step], TOLERANCE)
    single = jax.tree.map(lambda a: a.astype(jnp.float32), (start, noise))
    small = sample(ddgan(latent_dim), silent, single[0], grid, noise=single[1])
    close(nchw(small), recorded["final_f32"], FLOAT32)


@pytest.mark.parametrize(("arrays", "config"), loops())
def test_sampling_with_the_shipped_tables(arrays, config, case, x64):
    """In native coordinates, since float32 tables are those of no grid."""
    chain, generator = shipped(betas_of(config, "nz"), shipped_tables(arrays, case)), generator_of(arrays)
    x, latent, noise = (arrays[f"in/{name}"].astype(np.float64) for name in ("x_init", "z", "noise"))
    x, noise = nhwc(x), nhwc(noise)
    for step in range(len(latent)):
        t = jnp.full(len(x), len(latent) - 1 - step)
        x0 = generator(None, x, t, jnp.asarray(latent[step]))
        if "out/gen_x_tab32" in arrays:
            close(nchw(x), arrays["out/gen_x_tab32"][step], TOLERANCE)
            close(nchw(x0), arrays["out/gen_x0_tab32"][step], TOLERANCE)
        x = process.ddgan.sample_posterior(chain, x0, x, t, noise[step])
    close(nchw(x), arrays["out/final_tab32"], TOLERANCE)


def test_every_case_is_read():
    kinds = {"forward_pair", "posterior_sample", "sample_from_model"}
    assert {case.values[1]["kind"] for case in cases(READS[2:], {})} <= kinds
