"""OpenAI's U-Nets and classifiers against recorded outputs and gradients, and a step guided by a classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance
from jaxdiff.interop.openai import openai_name
from jaxdiff.samplers import ancestral, ddim
from jaxdiff.samplers.base import Level
from tests.parity.ddpm_process import from_x, model_of, precond_of, process_of, reverse_of, to_x, transform_of
from tests.parity.openai_networks import inputs_of, prepared
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.gradients import with_gradients

READS = ("ddpm/unet_*.npz", "ddpm/classifier_*.npz")
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)
GUIDED = [path for path in reference.files("ddpm/guidance.npz") if "classifier/config" in reference.load(path)]


def channels_first(a):
    return nchw(a) if np.ndim(a) == 4 else np.asarray(a)


def log_prob_of(net, params, labels):
    """(x_t, t) -> log p(y | x_t)."""

    def log_prob(x_t, t):
        logits = jax.nn.log_softmax(net.apply(params, x_t, t))
        return jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]

    return log_prob


@pytest.mark.full
@files
def test_float64(path, x64):
    arrays, net, params = prepared(path)
    inputs = inputs_of(arrays, net)
    wanted = {name: value for name, value in inputs.items() if f"out/vjp_{name}" in arrays}
    cotangent = arrays["in/cotangent"].astype(np.float64)
    cotangent = nhwc(cotangent) if cotangent.ndim == 4 else jnp.asarray(cotangent)

    run = lambda params, wanted: net.apply(params, **{**inputs, **wanted})  # noqa: E731
    output, (param_gradients, gradients) = with_gradients(run, [params, wanted], cotangent)
    assert output.dtype == jnp.float64
    close(channels_first(output), arrays["out/F"])
    for name, gradient in gradients.items():
        close(nchw(gradient), arrays[f"out/vjp_{name}"])
    norms = {openai_name(p): np.linalg.norm(g) for p, g in jax.tree_util.tree_leaves_with_path(param_gradients)}
    recorded = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
    close([norms[name] for name in recorded], list(recorded.values()))
    for name in arrays["out/zero_grad_params"]:
        assert norms[name] < 1e-9 * max(recorded.values()), name
    if "in/guide_y" in arrays:
        log_prob = log_prob_of(net, params, jnp.asarray(arrays["in/guide_y"]))
        gradient = guidance.log_prob_gradient(log_prob)
        both = jax.jit(lambda *inputs: (log_prob(*inputs), gradient(*inputs)))
        found, slope = both(inputs["x"], inputs["noise_labels"])
        close(found, arrays["out/log_prob_y"])
        close(nchw(slope), arrays["out/grad_log_prob_y"])


@pytest.mark.optimised(tier="full")
@files
def test_float32(path):
    arrays, net, params = prepared(path, np.float32)
    output = jax.jit(net.apply)(params, **inputs_of(arrays, net, np.float32))
    assert output.dtype == jnp.float32
    close(channels_first(output), arrays["out/F"], rtol=2e-4)


@pytest.mark.full
@pytest.mark.parametrize("path", GUIDED, ids=reference.ids)
def test_steps_guided_by_a_classifier(path, x64):
    """One ancestral and one DDIM step; the classifier sees x_t and its step t."""
    arrays = reference.load(path)
    config, process = reference.config(arrays, "classifier"), process_of(reference.config(arrays, "classifier"))
    stored, net, params = prepared(path.with_name(config["network_file"] + ".npz"))
    inputs, t = inputs_of(stored, net), stored["in/timesteps"]
    sigma, sigma_next = jnp.asarray(process.sigmas[t + 1]), jnp.asarray(process.sigmas[t])
    log_prob = log_prob_of(net, params, jnp.asarray(stored["in/guide_y"]))
    time = precond_of(process, config["model_mean_type"]).c_noise
    gradient = guidance.log_prob_gradient(lambda x, sigma: log_prob(from_x(x, sigma), time(sigma)))
    output = nhwc(arrays["classifier/in/model_output"])
    x, noise = to_x(inputs["x"], sigma), nhwc(arrays["classifier/in/step_noise"])
    transform = transform_of(config["model_mean_type"], config["clip_denoised"])
    parametrisation, scale = precond_of(process, config["model_mean_type"]), config["classifier_scale"]
    level = Level(0, sigma, sigma_next, 1)

    model = model_of(lambda *_: output, parametrisation, config["model_var_type"], transform)
    p = reverse_of(process, config["model_var_type"], lambda x, sigma: scale * gradient(x, sigma))
    channels = x.shape[-1]
    plain = model_of(lambda *_: output[..., :channels], parametrisation, "FIXED_SMALL", transform)
    denoise = guidance.classifier_guide(plain, gradient, scale)
    recorded = reference.subset(arrays, "classifier/out")
    etas = {
        name: float(name.removeprefix("ddim_sample_eta")) for name in recorded if name.startswith("ddim_sample_eta")
    }

    @jax.jit
    def steps(x):
        """Every step from the same x, whose classifier is compiled once."""
        found = {"p_sample": ancestral(p).step(model, x, (), level, noise)}
        return found | {name: ddim(eta).step(denoise, x, (), level, noise) for name, eta in etas.items()}

    for name, (x_next, _) in steps(x).items():
        close(nchw(from_x(x_next, sigma_next)), recorded[name])
