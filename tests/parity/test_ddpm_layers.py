"""Single layers of OpenAI's networks against recorded ones. One-dimensional layers are images of width 1."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.openai import openai_name
from jaxdiff.interop.state_dict import to_params
from jaxdiff.nets.embeddings import positional
from jaxdiff.nets.unet.openai_block import Downsample, ResBlock, SelfAttention, Upsample, norm32, split_attention
from jaxdiff.nets.unet.openai_classifier import AttentionPool
from jaxdiff.train import ema
from tests.support import reference
from tests.support.arrays import close
from tests.support.gradients import with_gradients
from tests.support.tiers import by, first_of_a_kind

READS = ("ddpm/layers.npz",)


def res_block(config):
    kwargs = reference.only(
        config["kwargs"], "channels", "emb_channels", "dropout", "out_channels", "use_conv", "use_scale_shift_norm",
        "use_checkpoint", "up", "down", dims=(2,) if config["kwargs"].keys() & {"up", "down"} else (1, 2),
    )  # fmt: skip
    direction = "up" if kwargs.get("up") else "down" if kwargs.get("down") else None
    features = kwargs.get("out_channels") or kwargs["channels"]
    adaptive, spatial = kwargs.get("use_scale_shift_norm", False), kwargs.get("use_conv", False)
    return ResBlock(features, direction, adaptive, spatial_skip=spatial)


def self_attention(config):
    kwargs = reference.only(
        config["kwargs"], "channels", "num_heads", "num_head_channels", "use_checkpoint", "use_new_attention_order"
    )
    heads = kwargs.get("num_heads", 1)
    if kwargs.get("num_head_channels", -1) > 0:
        heads = kwargs["channels"] // kwargs["num_head_channels"]
    return SelfAttention(heads, kwargs.get("use_new_attention_order", False))


def resampled(layer):
    """A layer that changes the resolution and keeps the channels."""

    def made(config):
        reference.only(config, *OF_ALL, "channels", "use_conv", dims=(1, 2), out_channels=(None, config["channels"]))
        return layer(config["use_conv"])

    return made


OF_ALL = ("kind", "package", "cls")
LAYERS = {
    "normalization": lambda config: norm32(None, None),
    "Upsample": resampled(Upsample),
    "Downsample": resampled(Downsample),
    "ResBlock": res_block,
    "AttentionBlock": self_attention,
    "AttentionPool2d": lambda config: AttentionPool(config["output_dim"], config["num_heads_channels"]),
}


def cases(kind):
    found = []
    for path in reference.files(*READS):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            config = reference.config(arrays, case)
            if kind(case, config):
                found.append(pytest.param(reference.subset(arrays, case), config, id=case))
    return found


def nhwc(a):
    """Channels last, in float64; [N, C, L] becomes [N, L, 1, C]."""
    a = np.asarray(a, np.float64)
    return jnp.asarray(np.moveaxis(a[..., None] if a.ndim == 3 else a, 1, -1))


def as_recorded(a, like):
    a = np.moveaxis(np.asarray(a), -1, 1) if np.ndim(a) == 4 else np.asarray(a)
    return a[..., 0] if like.ndim == 3 else a


def state_dict_of(arrays):
    """float64; a one-dimensional kernel is the middle column of a square one, that of a skip a 1x1 convolution."""
    found = {name: a.astype(np.float64) for name, a in reference.subset(arrays, "param").items()}
    for name, a in found.items():
        if a.ndim == 3 and a.shape[-1] == 3:
            found[name] = np.stack([0 * a, a, 0 * a], axis=-1)
        elif a.ndim == 3 and name == "skip_connection.weight":
            found[name] = a[..., None]
    return found


@pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(cases(lambda case, config: "cls" in config), by("cls")))
def test_layer(arrays, config, x64):
    layer, inputs = LAYERS[config["cls"]](config), [nhwc(arrays["in/x"])]
    if "in/emb" in arrays:
        inputs.append(jnp.asarray(arrays["in/emb"].astype(np.float64)))
    state_dict = state_dict_of(arrays)
    params = {}
    if state_dict:
        like = jax.eval_shape(layer.init, jax.random.key(0), *inputs)
        params = jax.tree.map(jnp.asarray, to_params(state_dict, like, name_of=openai_name))

    run = partial(layer.apply, params)
    cotangent = arrays["in/cotangent"].astype(np.float64)
    if cotangent.ndim > 2:
        cotangent, width = nhwc(cotangent), jax.eval_shape(run, *inputs).shape[2]
        # Up-sampling also doubles the width of 1; the second column is not part of the recorded layer.
        cotangent = jnp.pad(cotangent, [(0, 0), (0, 0), (0, width - cotangent.shape[2]), (0, 0)])
    output, gradients = with_gradients(run, inputs, jnp.asarray(cotangent))
    recorded = arrays["out/y"]
    close(as_recorded(output[:, :, :1] if recorded.ndim == 3 else output, recorded), recorded)
    for name, gradient in zip(("x", "emb"), gradients, strict=False):
        if f"out/vjp_{name}" in arrays:
            close(as_recorded(gradient, arrays[f"out/vjp_{name}"]), arrays[f"out/vjp_{name}"])


@pytest.mark.parametrize(("arrays", "config"), cases(lambda case, config: "max_period" in config))
def test_timestep_embedding(arrays, config, x64):
    t = jnp.asarray(arrays["in/timesteps"].astype(np.float64))
    ours = positional(t, config["dim"], config["max_period"], end_point=False, cosine_first=True)
    close(ours, arrays["out/y"])


@pytest.mark.parametrize(("arrays", "config"), cases(lambda case, config: "head_channels" in config))
def test_orders_of_attention(arrays, config, x64):
    qkv = jnp.asarray(np.swapaxes(arrays["in/qkv"].astype(np.float64), 1, 2))
    for order in ("legacy", "new"):
        ours = split_attention(qkv, config["n_heads"], order == "new")
        close(np.swapaxes(ours, 1, 2), arrays[f"out/{order}"])


@pytest.mark.parametrize(("arrays", "config"), cases(lambda case, config: "rate" in config))
def test_average_of_parameters(arrays, config, x64):
    target, source = (jnp.asarray(arrays[f"in/{name}"].astype(np.float64)) for name in ("target", "source"))
    close(ema.update(target, source, jnp.array(config["rate"])), arrays["out/target"])


def test_every_case_is_read():
    for path in reference.files(*READS):
        for case in reference.cases(arrays := reference.load(path)):
            assert {"cls", "max_period", "head_channels", "rate"} & set(reference.config(arrays, case)), case
