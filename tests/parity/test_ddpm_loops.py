"""Whole sampling loops, driven by `trajectory`, with the exact network of a Gaussian mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance, predictions, reverse
from jaxdiff.samplers import ancestral, ddim, encode, trajectory
from tests.parity.ddpm_mixture import mixture_network
from tests.parity.ddpm_process import from_x, model_of, process_of, reverse_of, row_of, to_x, transform_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import by, first_of_a_kind

READS = ("ddpm/loops.npz",)
DENOISED_FN = {None: None, "0.9*x+0.05": lambda x0: 0.9 * x0 + 0.05}


def all_cases():
    for path in reference.files(*READS):
        arrays = reference.load(path)
        yield from (pytest.param(arrays, case, id=case) for case in reference.cases(arrays))


def gradient_of(arrays, case, process, scale):
    """The recorded classifier's gradient, which is that of x_t = x / sqrt(1 + sigma^2)."""
    inputs = reference.subset(arrays, f"{case}/in")
    targets = nhwc(arrays["in/cond_targets"] if "in/cond_targets" in arrays else inputs["cond_targets"])
    labels = arrays["in/y"] if "in/y" in arrays else inputs["y"]
    time = row_of(process, "EPSILON").c_noise

    def gradient(x, sigma):
        native = scale * (1 + 0.001 * time(sigma)) * (targets[labels] - from_x(x, sigma))
        return from_x(native, sigma)

    return gradient


def parts(arrays, case):
    config = reference.config(arrays, case)
    process = process_of(config)
    apply_fn = mixture_network(arrays, config, process, arrays[f"table/{config['table']}/alphas_cumprod"])
    denoised_fn = DENOISED_FN[config["denoised_fn"]]
    ancestral_step = config["sampler"] == "ancestral"
    transform = transform_of(config["model_mean_type"], config["clip_denoised"], denoised_fn, ancestral_step)
    plain = transform_of(config["model_mean_type"], config["clip_denoised"], denoised_fn, raw_mean=False)
    row = row_of(process, config["model_mean_type"])
    var_type = config["model_var_type"] if ancestral_step else "FIXED_SMALL"
    return config, process, model_of(apply_fn, row, var_type, transform), model_of(apply_fn, row, "FIXED_SMALL", plain)


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(all_cases(), by("sampler", "model_var_type", "cond_fn")))
def test_loop(arrays, case, x64):
    config, process, model, plain = parts(arrays, case)
    recorded, start = reference.subset(arrays, f"{case}/out"), nhwc(arrays[f"{case}/in/x_init"])
    row = row_of(process, config["model_mean_type"])
    if config["sampler"] == "ddim_reverse":
        check_encoding(process, plain, start, recorded)
        return
    grid = process.sigmas[::-1]
    noise = nhwc(arrays[f"{case}/in/noise"])
    if config["sampler"] == "ancestral":
        p = reverse_of(process, config["model_var_type"])
        if config["cond_fn"]:
            p = reverse.guided(p, gradient_of(arrays, case, process, reference.config(arrays)["cond_scale"]))
        sampler = ancestral(p)
    else:
        sampler = ddim(config["eta"])
        if config["cond_fn"]:
            gradient = gradient_of(arrays, case, process, reference.config(arrays)["cond_scale"])
            model = guidance.classifier_guide(model, gradient)
            plain = model
    _, xs = jax.jit(lambda x, noise: trajectory(sampler, model, x, grid, noise=noise))(to_x(start, grid[0]), noise)
    for index, sigma in enumerate(grid[1:]):
        close(nchw(from_x(xs[index + 1], sigma)), recorded["samples"][index])
        close(nchw(plain(xs[index], jnp.asarray(grid[index]))), recorded["pred_xstart"][index])
    times = row.c_noise(jnp.asarray(grid[:-1]))
    for name in {"model_t", "cond_t"} & set(recorded):
        close(times, recorded[name])


def check_encoding(process, denoise, start, recorded):
    """Up the chain; the recorded last step goes to alpha_bar = 0, where only the noise direction is left."""
    rising = process.sigmas[1:]
    ends = [encode(denoise, to_x(start, rising[0]), rising[: n + 1][::-1]) for n in range(1, len(rising))]
    ends.insert(0, to_x(start, rising[0]))
    for index, (x, sigma) in enumerate(zip(ends, rising, strict=True)):
        x0_hat = denoise(x, jnp.asarray(sigma))
        close(nchw(x0_hat), recorded["pred_xstart"][index])
        if index:
            close(nchw(from_x(x, sigma)), recorded["samples"][index - 1])
    close(nchw(predictions.eps_from_x0(x0_hat, x, rising[-1])), recorded["samples"][-1])
    assert np.shape(recorded["samples"])[0] == len(rising)
