"""Single layers and blocks of the EDM reference's networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.state_dict import kernel_from_torch
from jaxdiff.nets.attention import attention
from jaxdiff.nets.convolution import Conv
from jaxdiff.nets.embeddings import Fourier, positional
from jaxdiff.nets.layers import group_norm
from jaxdiff.nets.unet.edm_block import UNetBlock
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import by, first_of_a_kind

READS = ("edm/layers.npz",)
SHARED = ("dropout", "skip_scale", "eps", "adaptive_scale", "resample_proj")
CASES = [(path, case) for path in reference.files(*READS) for case in reference.cases(reference.load(path))]


def block_params(arrays):
    """Nested params from the published names of one block."""
    nested = {}
    for name, value in reference.subset(arrays, "param").items():
        *modules, leaf = name.split(".")
        value = value.astype(np.float64)
        leaf = leaf if leaf != "weight" else "scale" if value.ndim == 1 else "kernel"
        inner = nested
        for module in modules:
            inner = inner.setdefault(module, {})
        inner[leaf] = kernel_from_torch(value)
    return {"params": nested}


def direction(kwargs):
    return "up" if kwargs.get("up") else "down" if kwargs.get("down") else None


def conv(arrays, kwargs):
    reference.only(
        kwargs, "in_channels", "out_channels", "kernel", "bias", "up", "down", "resample_filter", "fused_resample"
    )
    layer = Conv(
        kwargs["out_channels"],
        kwargs["kernel"],
        direction(kwargs),
        kwargs.get("resample_filter", [1, 1]),
        kwargs.get("fused_resample", False),
    )
    params = block_params(arrays)
    if "kernel" in params["params"]:
        params["params"].setdefault("bias", np.zeros(kwargs["out_channels"]))
    return nchw(layer.apply(params, nhwc(arrays["in/x"])))


def block(arrays, kwargs):
    reference.only(
        kwargs, "in_channels", "out_channels", "emb_channels", "up", "down", "attention", "num_heads",
        "channels_per_head", "resample_filter", *SHARED,
    )  # fmt: skip
    features = kwargs["out_channels"]
    heads = kwargs.get("num_heads") or features // kwargs.get("channels_per_head", 64)
    net = UNetBlock(
        features,
        direction(kwargs),
        num_heads=heads if kwargs.get("attention") else 0,
        taps=kwargs.get("resample_filter", [1, 1]),
        **{name: kwargs[name] for name in SHARED if name in kwargs},
    )
    emb = jnp.asarray(arrays["in/emb"].astype(np.float64))
    return nchw(net.apply(block_params(arrays), nhwc(arrays["in/x"]), emb, train="in/keep_mask" in arrays))


def norm(arrays, kwargs):
    reference.only(kwargs, "num_channels", "num_groups", "min_channels_per_group", "eps")
    channels = kwargs["num_channels"]
    groups = min(kwargs.get("num_groups", 32), channels // kwargs.get("min_channels_per_group", 4))
    assert groups == arrays["out/num_groups"]
    if set(kwargs) <= {"num_channels", "eps"}:
        layer = group_norm(channels, kwargs.get("eps", 1e-5), None, "norm")
        assert layer.num_groups == groups
    else:
        layer = nn.GroupNorm(groups, epsilon=kwargs.get("eps", 1e-5))
    return nchw(layer.apply(block_params(arrays), nhwc(arrays["in/x"])))


def linear(arrays, kwargs):
    reference.only(kwargs, "in_features", "out_features", "bias")
    layer = nn.Dense(kwargs["out_features"], kwargs.get("bias", True))
    return layer.apply(block_params(arrays), arrays["in/x"].astype(np.float64))


def position(arrays, kwargs):
    reference.only(kwargs, "num_channels", "max_positions", "endpoint")
    t = jnp.asarray(arrays["in/x"].astype(np.float64))
    positions, endpoint = kwargs.get("max_positions", 10_000), kwargs.get("endpoint", False)
    return positional(t, kwargs["num_channels"], positions, endpoint, cosine_first=True)


def fourier(arrays, kwargs):
    reference.only(kwargs, "num_channels", "scale")  # the scale is in the recorded frequencies
    params = {"params": {"freqs": arrays["buffer/freqs"].astype(np.float64)}}
    embedded = Fourier(kwargs["num_channels"]).apply(params, jnp.asarray(arrays["in/x"].astype(np.float64)))
    return np.roll(embedded, kwargs["num_channels"] // 2, axis=1)  # the layer alone has the cosine first


LAYERS = {
    "Conv2d": conv,
    "UNetBlock": block,
    "GroupNorm": norm,
    "Linear": linear,
    "PositionalEmbedding": position,
    "FourierEmbedding": fourier,
}


@pytest.mark.parametrize(
    ("path", "case"), first_of_a_kind(CASES, by("cls")), ids=lambda value: getattr(value, "stem", value)
)
def test_layer(path, case, x64, monkeypatch):
    arrays = reference.subset(reference.load(path), case)
    config = reference.config(arrays)
    if "in/keep_mask" in arrays:
        mask = nhwc(arrays["in/keep_mask"], bool)
        monkeypatch.setattr(nn.Dropout, "__call__", lambda self, x: jnp.where(mask, x / (1 - self.rate), 0))
    if config["cls"] == "AttentionOp":
        check_attention(arrays)
    else:
        close(LAYERS[config["cls"]](arrays, config["kwargs"]), arrays["out/y"], 1e-9)


def check_attention(arrays):
    """With the identity as values, attention returns its weights."""
    q, k, cotangent = (np.moveaxis(arrays[f"in/{n}"].astype(np.float64), 1, 2) for n in ("q", "k", "cotangent"))
    identity = jnp.broadcast_to(jnp.eye(k.shape[1]), (len(k), k.shape[1], k.shape[1]))[:, :, None]

    def weights(q, k):
        return attention(q[:, :, None], k[:, :, None], identity)[:, :, 0]

    w, pull = jax.vjp(weights, jnp.asarray(q), jnp.asarray(k))
    close(w, arrays["out/w"])
    for gradient, name in zip(pull(jnp.asarray(np.moveaxis(cotangent, 1, 2))), ("dq", "dk"), strict=True):
        close(np.moveaxis(gradient, 1, 2), arrays[f"out/{name}"])
