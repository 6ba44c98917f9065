"""Whole networks against recorded outputs and gradients of the EDM reference."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.state_dict import published_name
from jaxdiff.nets.conditioning import drop_labels
from tests.parity.edm_networks import labels_of, network, params_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("edm/net_*.npz",)
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)


def prepare(path, dtype):
    arrays = reference.load(path)
    config = reference.config(arrays)
    net = network(config["cls"], config["kwargs"])
    return arrays, net, params_of(net, arrays, dtype=dtype)


@pytest.mark.full
@files
def test_float64(path, x64):
    arrays, net, params = prepare(path, np.float64)
    inputs = {"x": nhwc(arrays["in/x"]), "noise_labels": jnp.asarray(arrays["in/noise_labels"].astype(np.float64))}
    inputs |= labels_of(arrays)
    cotangent = nhwc(arrays["in/cotangent"])

    @jax.jit
    def output_and_gradients(params, inputs):
        output, pull = jax.vjp(lambda params, inputs: net.apply(params, **inputs), params, inputs)
        return output, *pull(cotangent)

    output, param_gradients, gradients = output_and_gradients(params, inputs)
    assert output.dtype == jnp.float64
    close(nchw(output), arrays["out/F"])
    for name, gradient in gradients.items():
        close(nchw(gradient) if gradient.ndim == 4 else gradient, arrays[f"out/vjp_{name}"])
    norms = {published_name(p): np.linalg.norm(g) for p, g in jax.tree_util.tree_leaves_with_path(param_gradients)}
    recorded = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
    close([norms[name] for name in recorded], list(recorded.values()))

    run = jax.jit(net.apply)
    close(nchw(run(params, **{**inputs, "noise_labels": inputs["noise_labels"][1]})), arrays["out/F_scalar_noise"])
    if "out/F_no_augment" in arrays:
        close(nchw(run(params, **{**inputs, "augment_labels": None})), arrays["out/F_no_augment"])
    if "out/F_zero_labels_broadcast" in arrays:
        close(nchw(run(params, **{**inputs, "class_labels": None})), arrays["out/F_zero_labels_broadcast"])
    if "out/F_train_label_dropout" in arrays:
        uniform = jnp.asarray(arrays["in/label_dropout_uniform"].astype(np.float64))
        dropped = drop_labels(inputs["class_labels"], uniform, net.label_dropout)
        close(nchw(run(params, **{**inputs, "class_labels": dropped})), arrays["out/F_train_label_dropout"])


@files
def test_float32(path):
    arrays, net, params = prepare(path, np.float32)
    run = jax.jit(partial(net.apply, **labels_of(arrays, np.float32)))
    output = run(params, nhwc(arrays["in/x"], np.float32), jnp.asarray(arrays["in/noise_labels"], jnp.float32))
    assert output.dtype == jnp.float32
    close(nchw(output), arrays["out/F"], rtol=2e-4)
