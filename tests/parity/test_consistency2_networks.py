"""The consistency release's own networks for CIFAR-10: score SDE's, conditioned on ln(t) / 4, with one head or two."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import precond
from jaxdiff.interop import score_sde
from jaxdiff.interop.score_sde_params import params_of_flax
from jaxdiff.precond import denoiser
from tests.parity.score_sde_networks import nested, norms_of
from tests.support import reference
from tests.support.arrays import close
from tests.support.gradients import with_gradients

READS = ("consistency/jcm_ncsnpp*.npz",)
ELSEWHERE = ("init_scale", "fourier_scale", "dropout")
"""How parameters start, which are recorded, and what training does."""
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)


def options_of(config):
    """The recorded options, but for those that the recorded network does not read in the company of the others."""
    fields = set(score_sde.Options.__dataclass_fields__)
    reference.only(
        config, *fields, *ELSEWHERE, "double_heads", normalization=("GroupNorm",), layout=("NHWC",),
        kernel_layout=("HWIO",), name=("ncsnpp",),
    )  # fmt: skip
    unread = {"resamp_with_conv"} if config["resblock_type"] == "biggan" else set()
    unread |= set() if config["fir"] else {"fir_kernel"}
    unread |= set() if config["progressive_input"] == "input_skip" else {"progressive_combine"}
    read = fields & set(config) - unread - {"dropout"}
    return {name: tuple(value) if isinstance(value := config[name], list) else value for name in read}


@cache
def prepared(path, dtype):
    """(arrays, config, net, published parameters, (published parameters) -> ours); two heads are twice the channels."""
    arrays = reference.load(path)
    config = reference.config(arrays)
    _, _, size, channels = arrays["in/x"].shape
    net = score_sde.network(score_sde.Options(size, channels, dropout=0.0, **options_of(config)))
    net = net.clone(out_channels=2 * channels) if config["double_heads"] else net
    published = {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}
    return arrays, config, net, published, lambda published: params_of_flax(net, nested(published))


@pytest.mark.full
@files
def test_float64(path, x64):
    arrays, _, net, published, load = prepared(path, np.float64)
    x, labels, cotangent = (jnp.asarray(arrays[f"in/{name}"], jnp.float64) for name in ("x", "time_cond", "cotangent"))
    run = lambda params, x: net.apply(params, x, labels)  # noqa: E731
    output, (of_params, of_x) = with_gradients(run, [load(published), x], cotangent)
    close(output, arrays["out/y"])
    close(of_x, arrays["out/vjp_x"])
    norms = norms_of(load, published, of_params)
    recorded = dict(zip(arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"], strict=True))
    trained = {name: value for name, value in recorded.items() if "Projection_0/W" not in name}
    close([norms[name.replace(".", "/")] for name in trained], list(trained.values()))


@files
def test_denoiser_and_consistency_function(path, x64):
    arrays, config, net, published, load = prepared(path, np.float64)
    x, t, labels = (jnp.asarray(arrays[f"in/{name}"], jnp.float64) for name in ("x", "t", "time_cond"))
    close(precond.edm().c_noise(t), labels, 1e-7)  # which are rounded to float32
    run, params, channels = jax.jit(net.apply), load(published), x.shape[-1]

    def head(first):
        return lambda params, x, c_noise: run(params, x, c_noise)[..., first : first + channels]

    distilled = channels if config["double_heads"] else 0
    close(denoiser(head(0), params, precond.edm())(x, t), arrays["out/denoiser"])
    close(denoiser(head(distilled), params, precond.consistency())(x, t), arrays["out/distiller"])


@pytest.mark.full
@pytest.mark.optimised
@files
def test_float32(path):
    arrays, _, net, published, load = prepared(path, np.float32)
    output = jax.jit(net.apply)(load(published), jnp.asarray(arrays["in/x"]), jnp.asarray(arrays["in/time_cond"]))
    assert output.dtype == jnp.float32
    close(output, arrays["out/y"], rtol=2e-4)
