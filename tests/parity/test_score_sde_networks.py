"""Score SDE's networks against recorded outputs and gradients: NCSN++, DDPM++, and DDPM's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import score_sde
from jaxdiff.interop.score_sde_params import params_of_flax, params_of_torch
from tests.parity.score_sde_networks import (
    NAMES,
    as_recorded,
    config_of,
    files,
    image,
    levels_of,
    name_of,
    nested,
    norms_of,
)
from tests.support import reference
from tests.support.arrays import close

READS = ("score_sde/net_*.npz",)
OPTIONS = set(score_sde.Options.__dataclass_fields__) - {"image_size", "num_channels", "name"}
KNOWN = OPTIONS | {"normalization", "scale_by_sigma", "sigma_min", "sigma_max", "num_scales"}
OF_NCSNPP = {
    "resblock_type", "fir", "fir_kernel", "skip_rescale", "progressive", "progressive_input", "progressive_combine",
    "embedding_type",
}  # fmt: skip
paths = pytest.mark.parametrize("path", files("ncsnpp", "ddpm"), ids=reference.ids)


def options_of(config):
    """The recorded options, but for those that the recorded network does not read in the company of the others."""
    name, model = config["model"]["name"], config["model"]
    unread = OF_NCSNPP if name == "ddpm" else set()
    unread |= {"resamp_with_conv"} if name == "ncsnpp" and model["resblock_type"] == "biggan" else set()
    unread |= set() if model["fir"] else {"fir_kernel"}
    unread |= set() if model["progressive_input"] == "input_skip" else {"progressive_combine"}
    read = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in model.items()
        if name in OPTIONS - unread
    }
    shape = {"image_size": config["image_size"], "num_channels": config["num_channels"], "name": name}
    return score_sde.Options(**read, **shape)


def prepared(path, dtype):
    """(arrays, config, net, published parameters, (published parameters) -> ours)."""
    arrays = reference.load(path)
    config = config_of(arrays, *KNOWN)
    assert config["model"]["normalization"] == "GroupNorm"
    net = score_sde.network(options_of(config))
    published = {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}
    original = "layout" in config

    def load(published):
        return params_of_flax(net, nested(published)) if original else params_of_torch(net, published)

    return arrays, config, net, published, load


def recorded_call(arrays, config, net, dtype):
    """((params, x) -> the network's output with its shift of the data, sigmas that some divide it by)."""
    labels = jnp.asarray(arrays["in/labels"].astype(dtype))
    fourier = net.embedding_type == "fourier"
    sigmas = labels if fourier else levels_of(arrays, config["model"])[arrays["in/labels"].astype(int)]

    def run(params, x):
        x = x if config["centered"] else 2 * x - 1
        return net.apply(params, x, jnp.log(labels) if fourier else labels)

    return run, jnp.asarray(sigmas, dtype)[:, None, None, None]


@pytest.mark.full
@paths
def test_float64(path, x64):
    arrays, config, net, published, load = prepared(path, np.float64)
    params, cotangent = load(published), image(arrays, "in/cotangent")
    run, sigmas = recorded_call(arrays, config, net, np.float64)

    @jax.jit
    def output_and_gradients(params, x, factor):
        """Of the network times `factor`."""
        output, pull = jax.vjp(lambda params, x: factor * run(params, x), params, x)
        return output, *pull(cotangent)

    factor = 1 / sigmas if config["model"]["scale_by_sigma"] else jnp.ones_like(sigmas)
    output, param_gradients, gradient = output_and_gradients(params, image(arrays, "in/x"), factor)
    close(as_recorded(arrays, output), arrays["out/y"])
    close(as_recorded(arrays, gradient), arrays["out/vjp_x"])
    norms = norms_of(load, published, param_gradients)
    recorded = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
    trained = {name: value for name, value in recorded.items() if not name.endswith((".0.W", "Projection_0/W"))}
    close([norms[name] for name in trained], list(trained.values()))
    if "out/y_scale_by_sigma" in arrays:
        output, _, gradient = output_and_gradients(params, image(arrays, "in/x"), 1 / sigmas)
        close(as_recorded(arrays, output), arrays["out/y_scale_by_sigma"])
        close(as_recorded(arrays, gradient), arrays["out/vjp_x_scale_by_sigma"])


@pytest.mark.optimised(tier="full")
@paths
def test_float32(path):
    arrays, config, net, published, load = prepared(path, np.float32)
    run, sigmas = recorded_call(arrays, config, net, np.float32)
    output = jax.jit(run)(load(published), image(arrays, "in/x", np.float32))
    assert output.dtype == jnp.float32
    output = output / sigmas if config["model"]["scale_by_sigma"] else output
    close(as_recorded(arrays, output), arrays["out/y"], rtol=2e-4)


def test_every_recorded_network_is_of_a_known_class():
    assert {name_of(path) for path in reference.files(*READS)} <= NAMES
