"""Whole sampling loops, driven by `trajectory`, with the exact network of a Gaussian mixture."""

import jax.numpy as jnp
import pytest

from jaxdiff import guidance
from jaxdiff.samplers import ancestral, ddim
from tests.parity.ddpm_loops import encoded, sampled
from tests.parity.ddpm_mixture import mixture_network
from tests.parity.ddpm_process import (
    PROCESS,
    from_x,
    model_of,
    precond_of,
    process_of,
    reverse_of,
    transform_of,
)  # fmt: skip
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.formula import formula
from tests.support.tiers import by, first_of_a_kind

READS = ("ddpm/loops.npz",)


def all_cases():
    for path in reference.files(*READS):
        arrays = reference.load(path)
        yield from (pytest.param(arrays, case, id=case) for case in reference.cases(arrays))


def gradient_of(arrays, case, process, scale):
    """The recorded classifier's gradient, which is that of x_t = x / sqrt(1 + sigma^2)."""
    inputs = reference.subset(arrays, f"{case}/in")
    targets = nhwc(arrays["in/cond_targets"] if "in/cond_targets" in arrays else inputs["cond_targets"])
    labels = arrays["in/y"] if "in/y" in arrays else inputs["y"]
    time = precond_of(process, "EPSILON").c_noise

    def gradient(x, sigma):
        native = scale * (1 + 0.001 * time(sigma)) * (targets[labels] - from_x(x, sigma))
        return from_x(native, sigma)

    return gradient


def parts(arrays, case):
    config = reference.only(
        reference.config(arrays, case), *PROCESS, "table", "model_mean_type", "model_var_type", "sampler", "eta",
        "clip_denoised", "denoised_fn", "cond_fn",
    )  # fmt: skip
    assert config["sampler"] in ("ancestral", "ddim", "ddim_reverse"), f"no test knows {config['sampler']}"
    process = process_of(config)
    apply_fn = mixture_network(
        arrays, config["model_mean_type"], process, arrays[f"table/{config['table']}/alphas_cumprod"]
    )
    denoised_fn = formula(config["denoised_fn"])
    ancestral_step = config["sampler"] == "ancestral"
    transform = transform_of(config["model_mean_type"], config["clip_denoised"], denoised_fn, ancestral_step)
    plain = transform_of(config["model_mean_type"], config["clip_denoised"], denoised_fn, raw_mean=False)
    parametrisation = precond_of(process, config["model_mean_type"])
    var_type = config["model_var_type"] if ancestral_step else "FIXED_SMALL"
    return (
        config,
        process,
        model_of(apply_fn, parametrisation, var_type, transform),
        model_of(apply_fn, parametrisation, "FIXED_SMALL", plain),
    )


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(all_cases(), by("sampler", "model_var_type", "cond_fn")))
def test_loop(arrays, case, x64):
    config, process, model, plain = parts(arrays, case)
    recorded, start = reference.subset(arrays, f"{case}/out"), nhwc(arrays[f"{case}/in/x_init"])
    if config["sampler"] == "ddim_reverse":
        samples, estimates = encoded(process, plain, start)
    else:
        gradient = None
        if config["cond_fn"]:
            gradient = gradient_of(arrays, case, process, reference.config(arrays)["cond_scale"])
        sampler = ancestral(reverse_of(process, config["model_var_type"], gradient))
        if config["sampler"] == "ddim":
            sampler = ddim(config["eta"])
            model = plain = model if gradient is None else guidance.classifier_guide(model, gradient)
        samples, estimates = sampled(process, sampler, model, plain, start, nhwc(arrays[f"{case}/in/noise"]))
    for name, found in {"samples": samples, "pred_xstart": estimates}.items():
        for ours, theirs in zip(found, recorded[name], strict=True):
            close(nchw(ours), theirs)
    rising = precond_of(process, config["model_mean_type"]).c_noise(jnp.asarray(process.sigmas[1:]))
    for name in {"model_t", "cond_t"} & set(recorded):
        close(rising if config["sampler"] == "ddim_reverse" else rising[::-1], recorded[name])
