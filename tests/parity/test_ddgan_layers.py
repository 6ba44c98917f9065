"""Single layers and resampling operations of denoising diffusion GANs against recorded ones."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.ddgan import discriminator_name
from jaxdiff.interop.score_sde_params import ATTENTION, RESIDUAL, Part, rename
from jaxdiff.interop.state_dict import to_params
from jaxdiff.nets.ddgan import resampling
from jaxdiff.nets.ddgan_blocks import AdaptiveGroupNorm, LatentBlock, OneNormBlock, attend, normalise
from jaxdiff.nets.ddgan_discriminator import DownBlock, embed, leaky_relu
from jaxdiff.nets.embeddings import Fourier, positional
from jaxdiff.nets.layers import Conv, convolve, resample, upfirdn
from jaxdiff.nets.unet_frame import combine
from tests.support import reference
from tests.support.arrays import close
from tests.support.gradients import with_gradients
from tests.support.tiers import by, first_of_a_kind

READS = ("ddgan/layers.npz", "ddgan/ops.npz")
BLOCKS = {
    "ResnetBlockBigGANpp_Adagn": LatentBlock,
    "ResnetBlockBigGANpp_Adagn_one": OneNormBlock,
    "ResnetBlockDDPMpp_Adagn": LatentBlock,
}
SINGLE = {"Conv_0": "", "Conv2d_0": "", "NIN_0": "", "style": "style"}


class Alone(nn.Module):
    """One layer of ours in a scope of its own, by what it does to the recorded inputs."""

    run: Callable

    @nn.compact
    def __call__(self, inputs):
        return self.run(**inputs)


def block(config):
    kwargs = config["kwargs"]
    direction = "up" if kwargs.get("up") else "down" if kwargs.get("down") else None
    ddpm = "DDPM" in config["cls"]
    layer = BLOCKS[config["cls"]](
        kwargs.get("out_ch", kwargs["in_ch"]),
        direction,
        (1, 3, 3, 1) if kwargs.get("fir") else (1, 1),
        skip_scale=0.5**0.5 if kwargs.get("skip_rescale", not ddpm) else 1.0,
        skip_kernel=3 if kwargs.get("conv_shortcut") else 1,
        name="layer",
    )
    # Ours are given the embedding after its SiLU.
    return lambda x, zemb, temb=None: layer(x, (zemb, None if temb is None else nn.silu(temb)))


def change(direction):
    def make(config):
        taps = config["fir_kernel"] if config["fir"] else (1, 1)
        return resampling(config.get("out_ch", config["in_ch"]), direction, taps, config["with_conv"], None, "layer")

    return make


def attention(config):
    return lambda x: attend(x, 1, 0.5**0.5 if config["skip_rescale"] else 1.0, None)


LAYERS = {
    **dict.fromkeys(BLOCKS, block),
    "PixelNorm": lambda config: normalise,
    "GaussianFourierProjection": lambda config: Fourier(2 * config["embedding_size"], name="layer").__call__,
    "AdaptiveGroupNorm": lambda config: AdaptiveGroupNorm(name="layer"),
    "Combine": lambda config: lambda x, y: combine(x, y, config["method"], None, "layer"),
    "AttnBlockpp": attention,
    "NIN": lambda config: Conv(config["num_units"], 1, name="layer"),
    "Upsample": change("up"),
    "Downsample": change("down"),
    "DownConvBlock": lambda config: DownBlock(config["out_channel"], config["downsample"], name="block0"),
    "TimestepEmbedding": lambda config: (
        lambda t: embed(t, [config[f"{name}_dim"] for name in ("embedding", "hidden", "output")])
    ),
}
POSITIONAL = {
    "GaussianFourierProjection": ("x",), "AdaptiveGroupNorm": ("x", "style"), "DownConvBlock": ("x", "t_emb"),
    "NIN": ("x",), "Upsample": ("x",), "Downsample": ("x",),
}  # fmt: skip


def cases(pattern, kind):
    found = []
    for path in reference.files(pattern):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            config = reference.config(arrays, case)
            if kind in config:
                found.append(pytest.param(reference.subset(arrays, case), config, id=case))
    return found


def ours(a):
    """float64, channels last."""
    a = jnp.asarray(np.asarray(a, np.float64))
    return jnp.moveaxis(a, 1, -1) if a.ndim == 4 else a


def recorded(a):
    return np.moveaxis(np.asarray(a), -1, 1) if np.ndim(a) == 4 else np.asarray(a)


def params_of(module, config, arrays, inputs):
    """The recorded parameters by the names that the readers of checkpoints use."""
    state_dict = {
        name.removeprefix("m."): a.astype(np.float64) for name, a in reference.subset(arrays, "param").items()
    }
    if not state_dict:
        return {}
    like = jax.eval_shape(module.init, jax.random.key(0), inputs)
    scope = {"DownConvBlock": "conv1", "TimestepEmbedding": "t_embed"}.get(config["cls"])
    if scope:
        state_dict = {f"{scope}.{name}": a for name, a in state_dict.items()}
        return to_params(state_dict, like, name_of=discriminator_name)
    if config["cls"] in BLOCKS and "temb" not in inputs:
        state_dict = {name: a for name, a in state_dict.items() if not name.startswith("Dense_0")}
    if config["cls"] == "NIN":
        state_dict = {f"NIN_0.{name}": a for name, a in state_dict.items()}
    inner = RESIDUAL if config["cls"] in BLOCKS else ATTENTION if config["cls"] == "AttnBlockpp" else SINGLE
    part = Part("", "" if inner is ATTENTION else "layer", inner)
    return to_params(
        rename({f"all_modules.0.{name}": a for name, a in state_dict.items()}, {"all_modules.0": part}), like
    )


@pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(cases(READS[0], "cls"), by("cls")))
def test_layer(arrays, config, x64):
    def run(**inputs):
        layer = LAYERS[config["cls"]](config)
        names = POSITIONAL.get(config["cls"])
        return layer(*(inputs[name] for name in names)) if names else layer(**inputs)

    module = Alone(run)
    inputs = {name: ours(a) for name, a in reference.subset(arrays, "in").items() if name != "cotangent"}
    params = jax.tree.map(jnp.asarray, params_of(module, config, arrays, inputs))
    run, gradients = partial(module.apply, params), {}
    if "in/cotangent" in arrays:
        output, (gradients,) = with_gradients(run, [inputs], ours(arrays["in/cotangent"]))
    else:
        output = jax.jit(run)(inputs)
    close(recorded(output), arrays["out/y"], rtol=1e-10)
    for name, gradient in gradients.items():
        close(recorded(gradient), arrays[f"out/vjp_{name}"])


@pytest.mark.parametrize(("arrays", "config"), cases(READS[0], "dim"))
def test_timestep_embedding(arrays, config, x64):
    close(positional(ours(arrays["in/t"]), config["dim"]), arrays["out/y"], rtol=1e-10)


def filtered(x, kernel, up, down, pad):
    """A two-dimensional filter is a sum of separable ones."""
    left, values, right = np.linalg.svd(np.asarray(kernel, np.float64))
    terms = [
        upfirdn(upfirdn(x, value * left[:, k], 1, up, down, pad), right[k], 2, up, down, pad)
        for k, value in enumerate(values)
        if value > 1e-14 * values[0]
    ]
    return sum(terms)


def kernel_of(config, gain=1.0):
    """The outer product of the normalised taps; averages where none are given."""
    taps = np.asarray(config.get("kernel") or [1] * config["factor"], np.float64)
    return np.outer(taps, taps) / taps.sum() ** 2 * gain


def up_sampled(config, x):
    factor, gain = config["factor"], config.get("gain", 1.0)
    kernel = kernel_of(config, gain * config["factor"] ** 2)
    p = len(kernel) - factor
    # StyleGAN puts factor - 1 zeros after the last pixel too.
    return filtered(x, kernel, factor, 1, ((p + 1) // 2 + factor - 1, p // 2 + factor - 1))


def down_sampled(config, x):
    kernel = kernel_of(config)
    p = len(kernel) - config["factor"]
    return filtered(x, kernel, 1, config["factor"], ((p + 1) // 2, p // 2))


def conv_down_sampled(config, x, w):
    """StyleGAN filters and then convolves with a stride; the order does not matter."""
    kernel = kernel_of(config)
    p = len(kernel) - config["factor"] + w.shape[-1] - 1
    pad = ((p + 1) // 2, p // 2)
    y = convolve(jnp.pad(x, [(0, 0), pad, pad, (0, 0)]), w.transpose(2, 3, 1, 0), 0)
    return filtered(y, kernel, 1, config["factor"], (0, 0))


def general(config, x):
    up, (before, after) = config["up"], config["pad"]
    return filtered(x, config["kernel"], up, config["down"], (before, after + up - 1))


OPS = {
    "upsample_2d": up_sampled,
    "downsample_2d": down_sampled,
    "conv_downsample_2d": conv_down_sampled,
    "upfirdn2d": general,
    "naive_upsample_2d": lambda config, x: resample(x, (1, 1), "up"),
    "naive_downsample_2d": lambda config, x: resample(x, (1, 1), "down"),
    "fused_leaky_relu": lambda config, x, b: leaky_relu(x + b[None, None, None]) * 2**0.5,
}


def inputs_of(arrays):
    """Images channels last; kernels as they are recorded."""
    given = {name: a for name, a in reference.subset(arrays, "in").items() if name != "cotangent"}
    return {name: ours(a) if name == "x" else jnp.asarray(a.astype(np.float64)) for name, a in given.items()}


def check(run, arrays):
    inputs = inputs_of(arrays)
    output, (gradients,) = with_gradients(run, [inputs], ours(arrays["in/cotangent"]))
    close(recorded(output), arrays["out/y"], rtol=1e-10)
    for name in inputs:
        gradient = recorded(gradients[name]) if name == "x" else gradients[name]
        close(gradient, arrays[f"out/vjp_{name}"])


@pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(cases(READS[1], "op"), by("op")))
def test_operation(arrays, config, x64):
    check(lambda inputs: OPS[config["op"]](config, **inputs), arrays)


def of_the_networks(config):
    """Whether `resample` serves it: an even number of taps, which down-sampling does not turn round."""
    taps = config.get("kernel") or [1, 1]
    symmetric = taps == taps[::-1] or config["op"] == "upsample_2d"
    return config.get("factor") == 2 and not len(taps) % 2 and symmetric and "gain" not in config


@pytest.mark.parametrize(
    ("arrays", "config"),
    first_of_a_kind([case for case in cases(READS[1], "factor") if of_the_networks(case.values[1])], by("op")),
)
def test_layers_of_the_networks_are_these_operations(arrays, config, x64):
    taps = config.get("kernel") or (1, 1)
    if config["op"] == "conv_downsample_2d":
        layer = Conv(3, 3, "down", taps, fused=True, bias=False)
        check(
            lambda inputs: layer.apply({"params": {"kernel": inputs["w"].transpose(2, 3, 1, 0)}}, inputs["x"]), arrays
        )
    else:
        check(lambda inputs: resample(inputs["x"], taps, "up" if "up" in config["op"] else "down"), arrays)


def test_every_case_is_read():
    for path in reference.files(*READS):
        for case in reference.cases(arrays := reference.load(path)):
            assert {"cls", "dim", "op"} & set(reference.config(arrays, case)), case
