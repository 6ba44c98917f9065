"""NCSNv2 against recorded outputs and gradients, in the conventions of PyTorch and of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.ncsnv2 import ncsnv2_name, params_of
from jaxdiff.nets.refinenet import NCSNv2
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.gradients import with_gradients

READS = ("score_sde/net_ncsnv2.npz",)
TWINS = {
    "": {},
    "_population_var": {"population_variance": True},
    "_population_var_halfpixel": {"population_variance": True, "half_pixel": True},
}
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)
twins = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin or "port")


def prepared(path, twin, dtype=np.float64):
    """(arrays, net, params) of a recorded file."""
    arrays = reference.load(path)
    config = reference.config(arrays)
    assert config["cls"] == "ncsnv2_64"
    model = config["model"]
    assert (model["normalization"], model["nonlinearity"]) == ("InstanceNorm++", "elu")
    assert model["interpolation"] == "bilinear"
    sigmas = tuple(arrays["buffer/sigmas"].tolist()) if model["scale_by_sigma"] else None
    net = NCSNv2(
        config["image_size"], config["num_channels"], model["nf"], sigmas=sigmas, centered=config["centered"],
        **TWINS[twin],
    )  # fmt: skip
    state_dict = {**reference.subset(arrays, "param"), **reference.subset(arrays, "buffer")}
    return arrays, net, params_of(net, {name: a.astype(dtype) for name, a in state_dict.items()})


@pytest.mark.full
@files
@twins
def test_float64(path, twin, x64):
    arrays, net, params = prepared(path, twin)
    labels = jnp.asarray(arrays["in/labels"])

    run = lambda params, x: net.apply(params, x, labels)  # noqa: E731
    output, (gradients, x_gradient) = with_gradients(run, [params, nhwc(arrays["in/x"])], nhwc(arrays["in/cotangent"]))
    assert output.dtype == jnp.float64
    close(nchw(output), arrays[f"out/y{twin}"], rtol=1e-10)
    close(nchw(x_gradient), arrays[f"out/vjp_x{twin}"], rtol=1e-10)
    if not twin:
        norms = {ncsnv2_name(p): np.linalg.norm(g) for p, g in jax.tree_util.tree_leaves_with_path(gradients)}
        recorded = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
        assert set(norms) == set(recorded)
        for name, norm in recorded.items():
            np.testing.assert_allclose(norms[name], norm, rtol=1e-10, err_msg=name)


@pytest.mark.optimised(tier="full")
@files
@twins
def test_float32(path, twin):
    arrays, net, params = prepared(path, twin, np.float32)
    output = jax.jit(net.apply)(params, nhwc(arrays["in/x"], np.float32), jnp.asarray(arrays["in/labels"]))
    assert output.dtype == jnp.float32
    close(nchw(output), arrays[f"out/y{twin}"], rtol=1e-4)
