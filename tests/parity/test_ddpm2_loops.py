"""Whole loops of OpenAI's processes in the second recording, guided ones and points among them, and the full bound."""

import jax
import numpy as np
import pytest

from jaxdiff import guidance
from jaxdiff.losses import elbo
from jaxdiff.losses.bits import bits_per_dim
from jaxdiff.samplers import ancestral, ddim
from tests.parity.ddpm_loops import encoded, sampled
from tests.parity.ddpm_losses import chain_of, squared_errors
from tests.parity.ddpm_mixture import mixture_network, pictures, values_of
from tests.parity.ddpm_process import PROCESS, from_x, model_of, precond_of, process_of, reverse_of, transform_of
from tests.parity.ddpm_steps import tolerance
from tests.support import reference
from tests.support.arrays import close
from tests.support.tiers import by, first_of_a_kind

READS = ("ddpm/sampler_loops_*.npz", "ddpm/guidance_loops.npz", "ddpm/loss_bpd.npz")
GRADIENT = "gradient = scale*(mean[y] - x_t)"


def cases(*patterns):
    for path in reference.files(*patterns):
        arrays = reference.load(path)
        yield from (pytest.param(arrays, case, id=f"{path.stem}-{case}") for case in reference.cases(arrays))


def model_and_plain(arrays, config, process, var_type):
    """(what the ancestral step asks, the denoiser of DDIM) of a case, exact for the file's mixture."""
    text = config.get("variance_head", reference.config(arrays).get("variance_head"))
    apply_fn = mixture_network(arrays, "EPSILON", process, values=values_of(text))
    transform = transform_of("EPSILON", config["clip_denoised"])
    return [model_of(apply_fn, precond_of(process, "EPSILON"), kind, transform) for kind in (var_type, "FIXED_SMALL")]


def gradient_of(arrays):
    """The recorded classifier's gradient, which is that of x_t = x / sqrt(1 + sigma^2); None where there is none."""
    described = reference.config(arrays)
    if "classifier" not in described:
        return None
    assert described["classifier"].startswith(GRADIENT), f"no test knows {described['classifier']!r}"
    means = pictures(arrays["mixture/means"])[arrays["in/y"]]
    return lambda x, sigma: from_x(described["scale"] * (means - from_x(x, sigma)), sigma)


@pytest.mark.parametrize(
    ("arrays", "case"),
    first_of_a_kind(cases("ddpm/sampler_loops_*.npz", "ddpm/guidance_loops.npz"), by("kind", "sampler")),
)
def test_loop(arrays, case, x64):
    kinds = ("sampling loop", "guided loop", "reverse DDIM loop, t = 0..T-1 upwards")
    config = reference.only(
        reference.config(arrays, case), *PROCESS, "eta", "model_var_type", "clip_denoised", kind=kinds,
        sampler=("ancestral", "ddim"),
    )  # fmt: skip
    process, gradient = process_of(config), gradient_of(arrays)
    var_type = config.get("model_var_type", "FIXED_SMALL")
    model, plain = model_and_plain(arrays, config, process, var_type)
    if config["kind"].startswith("reverse"):
        samples, estimates = encoded(process, plain, pictures(arrays[f"{case}/in/x_0"]))
    else:
        sampler = ancestral(reverse_of(process, var_type, gradient))
        if config["sampler"] == "ddim":
            model = plain = plain if gradient is None else guidance.classifier_guide(plain, gradient)
            sampler = ddim(config["eta"])
        start, noise = pictures(arrays["in/x_T"]), pictures(arrays["in/noise"])
        samples, estimates = sampled(process, sampler, model, plain, start, noise)
    found = {"samples": samples, "pred_xstart": estimates, "final": samples[-1]}
    found |= {f"{name}_every5": found[name][4::5] for name in ("samples", "pred_xstart")}
    for name, recorded in reference.subset(arrays, f"{case}/out").items():
        recorded = pictures(recorded)
        assert len(found[name]) == len(recorded)
        for ours, theirs in zip(found[name], recorded, strict=True):
            close(ours, theirs, tolerance(process, config["clip_denoised"]))


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(cases("ddpm/loss_bpd.npz"), by()))
def test_full_bound(arrays, case, x64):
    config = reference.only(
        reference.config(arrays, case), *PROCESS, "model_var_type", "clip_denoised", "variance_head",
        kind=("calc_bpd_loop",),
    )  # fmt: skip
    process, clip = process_of(config), config["clip_denoised"]
    text = config["variance_head"]
    apply_fn = mixture_network(arrays, "EPSILON", process, values=values_of(text))
    vae = chain_of(process, apply_fn, "EPSILON", config["model_var_type"], clip)
    x0 = pictures(arrays["in/x_start"])
    noise = pictures(arrays[f"{case.split('/')[0]}/in/noise"])[::-1]  # recorded in call order, from the last step down
    bound = jax.jit(lambda x0, noise: elbo.hvae_elbo(vae, x0, noise=noise))(x0, noise)
    found = {
        "total_bpd": bits_per_dim(bound.total, x0[0].size),
        "prior_bpd": bits_per_dim(bound.prior, x0[0].size),
        "vb": bits_per_dim(bound.layers, x0[0].size)[::-1].T,
        **squared_errors(process, apply_fn, "EPSILON", clip, x0, noise),
    }
    recorded = reference.subset(arrays, f"{case}/out")
    assert set(recorded) == set(found)
    for name, value in recorded.items():
        close(found[name], value, tolerance(process, clip))
    assert np.isfinite(recorded["total_bpd"]).all()
