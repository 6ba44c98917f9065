"""Single steps of OpenAI's processes in the second recording: moments, samplers on exact networks, guidance."""

from functools import partial

import jax.numpy as jnp
import pytest

from tests.parity.ddpm_mixture import mixture_network, pictures, values_of
from tests.parity.ddpm_process import PROCESS, from_x, precond_of, process_of
from tests.parity.ddpm_steps import Step, forward, tolerance
from tests.support import reference
from tests.support.arrays import close
from tests.support.formula import formula

READS = ("ddpm/mean_variance_*.npz", "ddpm/sampler_steps_*.npz", "ddpm/guidance_exact.npz")
GUIDANCE = ("ddpm/guidance.npz", "ddpm/guidance_exact.npz")
"""The second recording's own name, and the one that it has besides the first."""
MODEL = ("model_mean_type", "model_var_type", "clip_denoised", "denoised_fn", "variance_head")


def cases(*patterns, has):
    """(arrays, case) of every case that has an array of that name; a file without cases is one, called ""."""
    for path in reference.files(*patterns):
        arrays = reference.load(path)
        names = ["", *reference.cases(arrays)]
        yield from (
            pytest.param(arrays, case, id=f"{path.stem}-{case}")
            for case in names
            if f"{case}/{has}".strip("/") in arrays
        )


def inputs_of(arrays, case):
    """(process, its inputs channels last) of a case, whose group results have configs of their own."""
    config = reference.only(reference.config(arrays, case), "kind", *PROCESS)
    inputs = reference.subset(arrays, f"{case}/in".strip("/"))
    return process_of(config), {name: a if name == "t" else pictures(a) for name, a in inputs.items()}


def groups(arrays, case):
    """(config, results) of every group of results of a case."""
    prefix = f"{case}/" if case else ""
    for name in reference.cases(arrays):
        if name.startswith(prefix) and name != case:
            yield name.removeprefix(prefix), reference.config(arrays, name), reference.subset(arrays, f"{name}/out")


def compare(found, recorded, rtol=1e-9):
    """Every recorded array with what the function of its name gives."""
    for name, value in recorded.items():
        assert name in found, f"no test knows {name}"
        close(found[name](), pictures(value), rtol)


@pytest.mark.parametrize(("arrays", "case"), list(cases("ddpm/mean_variance_q.npz", has="in/x_start")))
def test_forward_chain(arrays, case, x64):
    process, inputs = inputs_of(arrays, case)
    step = Step(process, inputs["x_t"], inputs["t"], None, None)
    found = forward(step, inputs["x_start"], inputs["x_t"], inputs["noise"])
    compare({name: lambda a=a: a for name, a in found.items()}, reference.subset(arrays, f"{case}/out"))


@pytest.mark.parametrize(("arrays", "case"), list(cases("ddpm/mean_variance_time.npz", has="in/t")))
def test_times(arrays, case):
    """Recorded in float32."""
    process, inputs = inputs_of(arrays, case)
    time = precond_of(process, "EPSILON").c_noise(jnp.asarray(process.sigmas[inputs["t"] + 1], jnp.float32))
    close(time, arrays[f"{case}/out/model_time"], rtol=1e-6)


@pytest.mark.parametrize(("arrays", "case"), list(cases("ddpm/mean_variance_p_*.npz", has="in/x_t")))
def test_moments(arrays, case, x64):
    process, inputs = inputs_of(arrays, case)
    compared = 0
    for name, config, recorded in groups(arrays, case):
        reference.only(config, *MODEL, kind=("p_mean_variance",))
        output = pictures(arrays[f"{name.split('/')[0]}/in/model_output"])
        step = Step(process, inputs["x_t"], inputs["t"], None, output)
        mean_type, var_type, clip = (config[name] for name in MODEL[:3])
        fn = formula(config["denoised_fn"])
        found = {
            "mean": partial(step.mean, mean_type, var_type, clip, fn),
            "pred_xstart": partial(step.x0, mean_type, clip, fn),
            "log_variance": partial(step.log_variance, mean_type, var_type, clip),
        }
        found["variance"] = lambda found=found: jnp.exp(found["log_variance"]())
        if var_type == "FIXED_SMALL":  # as recorded it is 0 in the last step, where its logarithm is floored
            found["variance"] = lambda step=step: posterior_variance(step)
        compare(found, recorded, tolerance(step.process, clip))
        compared += 1
    assert compared
    close(
        precond_of(process, "EPSILON").c_noise(jnp.asarray(process.sigmas[inputs["t"] + 1])), arrays["out/model_time"]
    )


def posterior_variance(step):
    return jnp.broadcast_to(step.process.tables.posterior_variance[step.t][:, None, None, None], step.x.shape)


def exact_step(arrays, case, values):
    """The step of a case, whose network is exact for the file's mixture."""
    process, inputs = inputs_of(arrays, case)
    apply_fn = mixture_network(arrays, "EPSILON", process, values=values)
    time = precond_of(process, "EPSILON").c_noise(jnp.asarray(process.sigmas[inputs["t"] + 1]))
    output = apply_fn(None, inputs["x_t"], time)
    return Step(process, inputs["x_t"], inputs["t"], inputs["noise"], output), inputs, time


@pytest.mark.parametrize(("arrays", "case"), list(cases("ddpm/sampler_steps_*.npz", has="in/x_t")))
def test_sampler_steps(arrays, case, x64):
    values = values_of(reference.config(arrays)["variance_head"])
    step, inputs, _ = exact_step(arrays, case, values)
    close(step.output[..., : inputs["x_t"].shape[-1]], pictures(arrays[f"{case}/out/model_eps"]))
    compared = 0
    for _, config, recorded in groups(arrays, case):
        reference.only(config, *PROCESS, *MODEL, "eta", kind=("p_sample", "ddim_sample", "ddim_reverse_sample"))
        assert len(process_of(config).betas) == len(step.process.betas)
        clip, fn = config["clip_denoised"], formula(config.get("denoised_fn"))
        draw = {
            "p_sample": lambda c=config, f=fn: step.ancestral("EPSILON", c["model_var_type"], c["clip_denoised"], f),
            "ddim_sample": lambda c=config, f=fn: step.ddim("EPSILON", c["eta"], c["clip_denoised"], f),
            "ddim_reverse_sample": lambda c=config: step.ddim_reverse("EPSILON", c["clip_denoised"]),
        }[config["kind"]]
        found = {"sample": draw, "pred_xstart": partial(step.x0, "EPSILON", clip, fn)}
        compare(found, recorded, tolerance(step.process, clip))
        compared += 1
    assert compared


@pytest.mark.parametrize(("arrays", "case"), list(cases(*GUIDANCE, has="in/noise")))
def test_guided_steps(arrays, case, x64):
    compared = 0
    for _, config, recorded in groups(arrays, case):
        reference.only(config, "model_var_type", "clip_denoised", "variance_head", kind=("guidance step",))
        values = values_of(config["variance_head"])
        step, inputs, time = exact_step(arrays, case, values)
        # The stored gradient is that of x_t = x / sqrt(1 + sigma^2).
        gradient = lambda x, sigma, inputs=inputs: from_x(inputs["gradient"], sigma)  # noqa: E731
        var_type, clip = config["model_var_type"], config["clip_denoised"]
        found = {
            "unguided_mean": partial(step.mean, "EPSILON", var_type, clip),
            "unguided_variance": lambda step=step, v=var_type, c=clip: jnp.exp(step.log_variance("EPSILON", v, c)),
            "unguided_pred_xstart": partial(step.x0, "EPSILON", clip),
            "condition_mean": partial(step.mean, "EPSILON", var_type, clip, gradient=gradient),
            "condition_score_mean": partial(step.ddim_mean, "EPSILON", clip, gradient),
            "condition_score_pred_xstart": partial(step.x0, "EPSILON", clip, gradient=gradient),
            "p_sample": partial(step.ancestral, "EPSILON", var_type, clip, gradient=gradient),
            "p_sample_pred_xstart": partial(step.x0, "EPSILON", clip),
        }
        if var_type == "FIXED_SMALL":
            found["unguided_variance"] = partial(posterior_variance, step)
        for name in recorded:
            if name.startswith("ddim_eta") and name.endswith("_sample"):
                eta = float(name.removeprefix("ddim_eta").removesuffix("_sample"))
                found[name] = partial(step.ddim, "EPSILON", eta, clip, gradient=gradient)
            elif name.startswith("ddim_eta") and name.endswith("_pred_xstart"):
                found[name] = found["condition_score_pred_xstart"]
        compare(found, recorded, tolerance(step.process, clip))
        close(time, arrays[f"{case}/out/classifier_time"])
        compared += 1
    assert compared
