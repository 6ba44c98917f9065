"""Score SDE's networks against recorded outputs and gradients: NCSN++, DDPM++, and DDPM's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import score_sde
from jaxdiff.interop.score_sde_params import params_of_torch
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("score_sde/net_ncsnpp*.npz", "score_sde/net_ddpm*.npz")
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)


def options_of(config):
    """The recorded options that are ours, under the same names."""
    model = {name: tuple(value) if isinstance(value, list) else value for name, value in config["model"].items()}
    known = {name: value for name, value in model.items() if name in score_sde.Options.__dataclass_fields__}
    shape = {"image_size": config["image_size"], "num_channels": config["num_channels"], "name": config["cls"]}
    return score_sde.Options(**known, **shape)


def prepared(path, dtype):
    """(arrays, config, net, params)."""
    arrays = reference.load(path)
    config = reference.config(arrays)
    net = score_sde.network(options_of(config))
    state_dict = {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}
    return arrays, config, net, params_of_torch(net, state_dict)


def recorded_call(arrays, config, net):
    """((params, x) -> the network's output with its shift of the data, sigmas that some divide it by)."""
    labels = jnp.asarray(arrays["in/labels"].astype(arrays["in/x"].dtype))
    fourier = net.embedding_type == "fourier"
    sigmas = labels if fourier else jnp.asarray(arrays["buffer/sigmas"])[arrays["in/labels"].astype(int)]

    def run(params, x):
        x = x if config["centered"] else 2 * x - 1
        return net.apply(params, x, jnp.log(labels) if fourier else labels)

    return run, sigmas.astype(arrays["in/x"].dtype)[:, None, None, None]


def norms_of(net, arrays, gradients):
    """Norms by the published names: every number of our params is told from which published array it comes."""
    names = list(reference.subset(arrays, "param"))
    origin = {name: np.full_like(a, i) for i, (name, a) in enumerate(reference.subset(arrays, "param").items())}
    squares = np.zeros(len(names))
    for source, gradient in zip(jax.tree.leaves(params_of_torch(net, origin)), jax.tree.leaves(gradients), strict=True):
        index = np.asarray(source).astype(int).ravel()
        squares += np.bincount(index, np.asarray(gradient).ravel() ** 2, minlength=len(names))
    return dict(zip(names, np.sqrt(squares), strict=True))


@pytest.mark.full
@files
def test_float64(path, x64):
    arrays, config, net, params = prepared(path, np.float64)
    arrays = {name: a.astype(np.float64) if name.startswith("in/") else a for name, a in arrays.items()}
    x, cotangent = nhwc(arrays["in/x"]), nhwc(arrays["in/cotangent"])

    run, sigmas = recorded_call(arrays, config, net)

    @jax.jit
    def output_and_gradients(params, x, factor):
        """Of the network times `factor`."""
        output, pull = jax.vjp(lambda params, x: factor * run(params, x), params, x)
        return output, *pull(cotangent)

    factor = 1 / sigmas if config["model"]["scale_by_sigma"] else jnp.ones_like(sigmas)
    output, param_gradients, gradient = output_and_gradients(params, x, factor)
    close(nchw(output), arrays["out/y"])
    close(nchw(gradient), arrays["out/vjp_x"])
    norms = norms_of(net, arrays, param_gradients)
    recorded = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
    trained = {name: value for name, value in recorded.items() if not name.endswith(".0.W")}
    close([norms[name] for name in trained], list(trained.values()))
    if "out/y_scale_by_sigma" in arrays:
        output, _, gradient = output_and_gradients(params, x, 1 / sigmas)
        close(nchw(output), arrays["out/y_scale_by_sigma"])
        close(nchw(gradient), arrays["out/vjp_x_scale_by_sigma"])


@pytest.mark.optimised(tier="full")
@files
def test_float32(path):
    arrays, config, net, params = prepared(path, np.float32)
    arrays["in/labels"] = arrays["in/labels"].astype(np.float32)
    run, sigmas = recorded_call(arrays, config, net)
    output = jax.jit(run)(params, nhwc(arrays["in/x"], np.float32))
    assert output.dtype == jnp.float32
    output = output / sigmas if config["model"]["scale_by_sigma"] else output
    close(nchw(output), arrays["out/y"], rtol=2e-4)
