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
from tests.support.tiers import first_of_a_kind

READS = ("edm/net_*.npz",)
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)


def prepare(path, dtype):
    arrays = reference.load(path)
    config = reference.only(reference.config(arrays), "cls", "kwargs", kind=("network",))
    net = network(config["cls"], config["kwargs"])
    return arrays, net, params_of(net, arrays, dtype=dtype)


def float64_inputs(arrays):
    noise_labels = jnp.asarray(arrays["in/noise_labels"].astype(np.float64))
    return {"x": nhwc(arrays["in/x"]), "noise_labels": noise_labels, **labels_of(arrays)}


@pytest.mark.full
@files
def test_float64(path, x64):
    arrays, net, params = prepare(path, np.float64)
    inputs, cotangent = float64_inputs(arrays), nhwc(arrays["in/cotangent"])

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

    def check(output, **changed):
        """One level for all, and labels of zero, as arrays of the same shapes; test_left_out_inputs leaves them out."""
        close(nchw(output_and_gradients(params, inputs | changed)[0]), arrays[f"out/{output}"])

    check("F_scalar_noise", noise_labels=jnp.full_like(inputs["noise_labels"], inputs["noise_labels"][1]))
    if "out/F_no_augment" in arrays:
        check("F_no_augment", augment_labels=0 * inputs["augment_labels"])
    if "out/F_zero_labels_broadcast" in arrays:
        check("F_zero_labels_broadcast", class_labels=0 * inputs["class_labels"])
    if "out/F_train_label_dropout" in arrays:
        uniform = jnp.asarray(arrays["in/label_dropout_uniform"].astype(np.float64))
        check("F_train_label_dropout", class_labels=drop_labels(inputs["class_labels"], uniform, net.label_dropout))


LEFT_OUT = {
    "F_scalar_noise": "noise_labels",
    "F_no_augment": "augment_labels",
    "F_zero_labels_broadcast": "class_labels",
}


@pytest.mark.parametrize(
    "path",
    first_of_a_kind(sorted(reference.files(*READS), key=lambda path: path.stat().st_size), lambda path: "any network"),
    ids=reference.ids,
)
def test_left_out_inputs(path, x64):
    """One level for all is a scalar, and labels may be None."""
    arrays, net, params = prepare(path, np.float64)
    inputs = float64_inputs(arrays)
    given = {"noise_labels": inputs["noise_labels"][1], "augment_labels": None, "class_labels": None}
    changes = {output: {name: given[name]} for output, name in LEFT_OUT.items() if f"out/{output}" in arrays}
    run = jax.jit(lambda params: {output: net.apply(params, **inputs | changed) for output, changed in changes.items()})
    for name, output in run(params).items():
        close(nchw(output), arrays[f"out/{name}"])


@pytest.mark.optimised(tier="full")
@files
def test_float32(path):
    arrays, net, params = prepare(path, np.float32)
    run = jax.jit(partial(net.apply, **labels_of(arrays, np.float32)))
    output = run(params, nhwc(arrays["in/x"], np.float32), jnp.asarray(arrays["in/noise_labels"], jnp.float32))
    assert output.dtype == jnp.float32
    close(nchw(output), arrays["out/F"], rtol=2e-4)
