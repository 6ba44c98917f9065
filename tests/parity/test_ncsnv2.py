"""NCSNv2, and NCSN, against recorded outputs and gradients, in the conventions of PyTorch and of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.ncsnv2 import flax_name, ncsnv2_name, params_of, params_of_flax
from jaxdiff.nets.ncsnv2.refinenet import NCSNv2
from tests.parity.score_sde_networks import as_recorded, config_of, files, image, levels_of, nested
from tests.support import reference
from tests.support.arrays import close
from tests.support.gradients import with_gradients

READS = ()  # of score_sde/net_*.npz, which test_score_sde_networks reads, those of this class
ORIGINAL = {"population_variance": True, "half_pixel": True}
TWINS = {"": {}, "_population_var": {"population_variance": True}, "_population_var_halfpixel": ORIGINAL}
# Options of the configurations' other networks, which this one does not read.
OTHERS = {
    "ch_mult", "num_res_blocks", "attn_resolutions", "resamp_with_conv", "conditional", "fir", "fir_kernel",
    "skip_rescale", "resblock_type", "progressive", "progressive_input", "progressive_combine", "embedding_type",
}  # fmt: skip
KNOWN = {
    "num_classes",
    "normalization",
    "nonlinearity",
    "nf",
    "scale_by_sigma",
    "sigma_min",
    "sigma_max",
    "num_scales",
    *OTHERS,
}
recorded = pytest.mark.parametrize(
    ("path", "twin"),
    [(path, twin) for path in files("ncsnv2_64", "ncsn") for twin in TWINS if f"out/y{twin}" in reference.load(path)],
    ids=lambda value: getattr(value, "stem", value) or "as it is",
)


def prepared(path, twin, dtype=np.float64):
    """(arrays, config, net, params) of a recorded file."""
    arrays = reference.load(path)
    config = config_of(arrays, *KNOWN)
    model, original = config["model"], "layout" in config
    assert model["normalization"] == "InstanceNorm++"
    sigmas = tuple(levels_of(arrays, model).tolist()) if model["scale_by_sigma"] else None
    net = NCSNv2(
        config["image_size"], config["num_channels"], model["nf"], sigmas=sigmas, centered=config["centered"],
        nonlinearity=model["nonlinearity"],
        num_levels=model["num_classes"] if model["name"] == "ncsn" else 0,
        refine_mult=(2, 2, 2, 1) if original else None,
        **(ORIGINAL if original else TWINS[twin]),
    )  # fmt: skip
    published = {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}
    if original:
        return arrays, config, net, params_of_flax(net, nested(published))
    buffers = {name: a.astype(dtype) for name, a in reference.subset(arrays, "buffer").items()}
    return arrays, config, net, params_of(net, {**published, **buffers})


@pytest.mark.full
@recorded
def test_float64(path, twin, x64):
    arrays, config, net, params = prepared(path, twin)
    labels = jnp.asarray(arrays["in/labels"])

    run = lambda params, x: net.apply(params, x, labels)  # noqa: E731
    inputs, cotangent = [params, image(arrays, "in/x")], image(arrays, "in/cotangent")
    output, (gradients, x_gradient) = with_gradients(run, inputs, cotangent)
    assert output.dtype == jnp.float64
    close(as_recorded(arrays, output), arrays[f"out/y{twin}"], rtol=1e-10)
    close(as_recorded(arrays, x_gradient), arrays[f"out/vjp_x{twin}"], rtol=1e-10)
    if not twin:
        name_of = (lambda path: flax_name(path, params)) if "layout" in config else ncsnv2_name
        norms = {name_of(p): np.linalg.norm(g) for p, g in jax.tree_util.tree_leaves_with_path(gradients)}
        expected = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
        assert set(norms) == set(expected)
        for name, norm in expected.items():
            np.testing.assert_allclose(norms[name], norm, rtol=1e-10, err_msg=name)


@pytest.mark.optimised(tier="full")
@recorded
def test_float32(path, twin):
    arrays, _, net, params = prepared(path, twin, np.float32)
    output = jax.jit(net.apply)(params, image(arrays, "in/x", np.float32), jnp.asarray(arrays["in/labels"]))
    assert output.dtype == jnp.float32
    close(as_recorded(arrays, output), arrays[f"out/y{twin}"], rtol=1e-4)
