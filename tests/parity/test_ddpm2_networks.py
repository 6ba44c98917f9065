"""OpenAI's networks in the second recording: several options of one set of parameters, and single layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import openai
from jaxdiff.nets.embeddings import positional
from jaxdiff.nets.unet.openai_block import Downsample, Upsample, norm32, split_attention
from tests.parity.openai_networks import inputs_of, network
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.gradients import with_gradients
from tests.support.tiers import by, first_of_a_kind

READS = ("ddpm/net_*.npz",)
LAYERS = reference.files("ddpm/net_layers.npz")


def every_case():
    for path in sorted(set(reference.files(*READS)) - set(LAYERS)):
        arrays = reference.load(path)
        yield from (pytest.param(arrays, case, id=f"{path.stem}-{case}") for case in reference.cases(arrays))


def prepared(arrays, case, dtype=np.float64):
    """(net, params, keyword arguments of the call) of a case; the time is called t here."""
    reference.only(reference.config(arrays), "kind", "cls", "kwargs", "cases", eval_mode=(True,), layout=("NCHW",))
    config = reference.only(reference.config(arrays, case), "cls", "kwargs", kind=("network",))
    package, cls = config["cls"].split(".")
    net = network({**config, "package": package, "cls": cls}, arrays["in/x"].shape[-1])
    state_dict = {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}
    inputs = inputs_of({**arrays, "in/timesteps": arrays["in/t"]}, net, dtype)
    return net, openai.params_of(net, state_dict), inputs


def channels_first(a):
    return nchw(a) if np.ndim(a) == 4 else np.asarray(a)


@pytest.mark.full
@pytest.mark.parametrize(("arrays", "case"), list(every_case()))
def test_float64(arrays, case, x64):
    net, params, inputs = prepared(arrays, case)
    cotangent = arrays["in/cotangent"].astype(np.float64)
    cotangent = nhwc(cotangent) if cotangent.ndim == 4 else jnp.asarray(cotangent)
    output, (gradient,) = with_gradients(lambda x: net.apply(params, **{**inputs, "x": x}), [inputs["x"]], cotangent)
    assert output.dtype == jnp.float64
    close(channels_first(output), arrays[f"{case}/out/y"])
    close(nchw(gradient), arrays[f"{case}/out/grad_x"])


@pytest.mark.optimised(tier="full")
@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(every_case(), by()))
def test_float32(arrays, case):
    net, params, inputs = prepared(arrays, case, np.float32)
    output = jax.jit(net.apply)(params, **inputs)
    assert output.dtype == jnp.float32
    close(channels_first(output), arrays[f"{case}/out/y"], rtol=2e-4)


def layer_cases():
    for path in LAYERS:
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            yield pytest.param(reference.subset(arrays, case), reference.config(arrays, case), id=case)


@pytest.mark.parametrize(("arrays", "config"), list(layer_cases()))
def test_layers(arrays, config, x64):
    check = {"timestep_embedding": embedding, "QKV attention": qkv, "Downsample": changes, "group norm": norm}
    found = [check[name] for name in check if config["kind"].startswith(name)]
    assert found, f"no test knows {config['kind']!r}"
    compared = found[0](arrays, config)
    recorded = {name for name in reference.subset(arrays, "out") if not name.endswith("_f32")}
    assert compared == recorded


def embedding(arrays, config):
    reference.only(config, "kind", "max_period")
    widths = {name for name in reference.subset(arrays, "out") if not name.endswith("_f32")}
    for name in widths:
        t, dim = jnp.asarray(arrays["in/t"].astype(np.float64)), int(name.removeprefix("dim"))
        ours = positional(t, dim, config["max_period"], end_point=False, cosine_first=True)
        close(ours, arrays[f"out/{name}"])
    return widths


def qkv(arrays, config):
    reference.only(config, "kind", "heads", "channels_per_head")
    qkv, cotangent = (np.swapaxes(arrays[f"in/{name}"].astype(np.float64), 1, 2) for name in ("qkv", "cotangent"))
    assert qkv.shape[-1] == 3 * config["heads"] * config["channels_per_head"]
    for order in ("legacy", "neworder"):
        attend = lambda qkv, order=order: split_attention(qkv, config["heads"], order == "neworder")  # noqa: E731
        output, (gradient,) = with_gradients(attend, [jnp.asarray(qkv)], jnp.asarray(cotangent))
        close(np.swapaxes(output, 1, 2), arrays[f"out/{order}"])
        close(np.swapaxes(gradient, 1, 2), arrays[f"out/{order}_grad"])
    return {"legacy", "neworder", "legacy_grad", "neworder_grad"}


def changes(arrays, config):
    reference.only(config, "kind")
    x = nhwc(arrays["in/x"])
    bias = jnp.asarray(arrays["param/bias"], jnp.float64)
    kernel = jnp.asarray(arrays["param/weight"].astype(np.float64).transpose(2, 3, 1, 0))
    layers = {"down_conv": (Downsample(), "op"), "up_conv": (Upsample(), "conv"),
              "down_pool": (Downsample(False), None), "up_plain": (Upsample(False), None)}  # fmt: skip
    for name, (layer, part) in layers.items():
        params = {"params": {part: {"kernel": kernel, "bias": bias}}} if part else {}
        close(nchw(layer.apply(params, x)), arrays[f"out/{name}"])
    return set(layers)


def norm(arrays, config):
    reference.only(config, kind=("group norm, 32 groups",), eps=(1e-5,))
    params = {
        ours: arrays[f"param/{theirs}"].astype(np.float64) for ours, theirs in (("scale", "weight"), ("bias", "bias"))
    }
    close(nchw(norm32(None, None).apply({"params": params}, nhwc(arrays["in/x"]))), arrays["out/y"])
    return {"y"}
