"""OpenAI's consistency U-Net against recorded outputs, gradients and activations, raw and in both preconditionings."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import consistency
from jaxdiff.interop.openai import openai_name
from jaxdiff.nets.embeddings import positional
from tests.parity.openai_networks import inputs_of, network
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.gradients import with_gradients

READS = ("consistency/net_openai_*.npz", "consistency/unet_*.npz")
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)
SIGMA_MIN, SIGMA_DATA = 0.002, 0.5


def prepared(path, dtype=np.float64):
    """(arrays, net, params) of a recorded file; channels of qkv are ordered (q|k|v, head, channel) in all of them."""
    arrays = reference.load(path)
    config = reference.config(arrays)
    assert config.pop("kind", "UNetModel forward") == "UNetModel forward"
    kwargs = dict(config)
    kwargs["use_new_attention_order"] = True
    net = network({"kwargs": kwargs, "cls": "UNetModel", "package": "consistency_models"}, config["image_size"])
    state_dict = {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}
    return arrays, net, consistency.params_of(net, state_dict)


@cache
def observed(path):
    """(arrays, net, params, run) with run(params, inputs) -> (output, activations), compiled once for all tests."""
    arrays, net, params = prepared(path)
    return arrays, net, params, jax.jit(lambda params, inputs: net.apply(params, **inputs, capture_intermediates=True))


@pytest.mark.full
@files
def test_float64(path, x64):
    arrays, net, params = prepared(path)
    inputs = inputs_of(arrays, net)
    x, labels = inputs.pop("x"), inputs.pop("noise_labels")

    run = partial(net.apply, **inputs)
    output, gradients = with_gradients(run, [params, x, labels], nhwc(arrays["in/cotangent"]))
    of_params, of_x, of_labels = gradients
    assert output.dtype == jnp.float64
    close(nchw(output), arrays["out/y"])
    close(nchw(of_x), arrays["out/vjp_x"])
    if "out/vjp_timesteps" in arrays:
        close(of_labels, arrays["out/vjp_timesteps"])
    gradients = {openai_name(p): g for p, g in jax.tree_util.tree_leaves_with_path(of_params)}
    recorded = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
    assert set(recorded) == set(gradients)
    close([np.linalg.norm(gradients[name]) for name in recorded], list(recorded.values()))
    for name, gradient in reference.subset(arrays, "out/param_grad").items():
        close(gradients[name], gradient)


@files
def test_time_embedding(path, x64):
    """250 ln t is the label as it is; the cosines come first."""
    arrays, net, _ = prepared(path)
    labels = jnp.asarray(arrays["in/timesteps"].astype(np.float64))
    found = positional(labels, net.model_channels, end_point=False, cosine_first=True)
    if "out/time_embedding" in arrays:
        close(found, arrays["out/time_embedding"])
    if "in/sigma" in arrays:  # the labels are on disk in float32
        close(consistency.c_noise(arrays["in/sigma"].astype(np.float64)), labels, rtol=1e-7)


@files
def test_activations(path, x64):
    """Every block, recorded in float32 for the first example and two channels."""
    arrays, net, params, run = observed(path)
    captured = run(params, inputs_of(arrays, net))[1]["intermediates"]
    outputs = {name: value["__call__"][0][0] for name, value in captured.items() if "__call__" in value}
    outputs["time_embed_1"] = jax.nn.silu(outputs["time_embed_0"])
    if "in/y" in arrays:
        outputs["label_emb"] = params["params"]["label_emb"][arrays["in/y"][0]]
    for name, recorded in reference.subset(arrays, "mid").items():
        ours = name.replace(".", "_")
        if ours not in outputs:  # a block's output is its last part's
            ours = max(other for other in outputs if other.startswith(ours + "_"))
        value = nchw(outputs[ours])[:2] if recorded.ndim == 3 else outputs[ours]
        close(value, recorded, rtol=1e-6)


@pytest.mark.optimised(tier="full")
@files
def test_float32(path):
    arrays, net, params = prepared(path, np.float32)
    output = jax.jit(net.apply)(params, **inputs_of(arrays, net, np.float32))
    assert output.dtype == jnp.float32
    close(nchw(output), arrays["out/y"], rtol=2e-4)


@pytest.mark.parametrize(
    "path", [p for p in reference.files(*READS) if "out/denoised_edm" in reference.load(p)], ids=reference.ids
)
def test_preconditioned(path, x64):
    """c_skip and c_out F(c_in x, c_noise) of the consistency function, which shifts c_skip, and of the EDM teacher."""
    arrays, net, params, run = observed(path)
    inputs = inputs_of(arrays, net)
    x = inputs["x"]
    sigma = jnp.asarray(arrays["in/sigma"].astype(np.float64))[:, None, None, None]
    scale = jnp.sqrt(sigma**2 + SIGMA_DATA**2)
    output, _ = run(params, inputs | {"x": x / scale, "noise_labels": consistency.c_noise(sigma[:, 0, 0, 0])})
    c_skip = SIGMA_DATA**2 / ((sigma - SIGMA_MIN) ** 2 + SIGMA_DATA**2)
    boundary = c_skip * x + (sigma - SIGMA_MIN) * SIGMA_DATA / scale * output
    close(nchw(boundary), arrays["out/denoised_boundary"])
    edm = (SIGMA_DATA / scale) ** 2 * x + sigma * SIGMA_DATA / scale * output
    close(nchw(edm), arrays["out/denoised_edm"])
