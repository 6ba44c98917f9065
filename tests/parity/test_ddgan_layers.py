"""Single layers of denoising diffusion GANs against recorded ones."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.ddgan import discriminator_name
from jaxdiff.interop.score_sde_params import ATTENTION, RESIDUAL, Part, rename_arrays
from jaxdiff.interop.state_dict import to_params
from jaxdiff.nets.convolution import Conv, resampling_layer
from jaxdiff.nets.ddgan.blocks import AdaptiveGroupNorm, LatentBlock, OneNormBlock, pixel_norm, residual_attention
from jaxdiff.nets.ddgan.discriminator import DownBlock, time_embedding
from jaxdiff.nets.embeddings import Fourier, positional
from jaxdiff.nets.resampling import convolution_taps
from jaxdiff.nets.unet.song_frame import combine
from tests.parity.ddgan_networks import check_known
from tests.support import reference
from tests.support.arrays import close
from tests.support.gradients import with_gradients
from tests.support.tiers import by, first_of_a_kind

READS = ("ddgan/layers.npz",)
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


# Options that the layers read, or take from the inputs and the parameters.
KNOWN = {
    **{key: {"kwargs", "act"} for key in BLOCKS},
    "PixelNorm": set(),
    "GaussianFourierProjection": {"embedding_size"},
    "AdaptiveGroupNorm": {"num_groups", "in_channel", "style_dim"},
    "Combine": {"dim1", "dim2", "method"},
    "AttnBlockpp": {"channels", "skip_rescale"},
    "NIN": {"in_dim", "num_units"},
    "Upsample": {"in_ch", "out_ch", "with_conv", "fir", "fir_kernel"},
    "Downsample": {"in_ch", "out_ch", "with_conv", "fir", "fir_kernel"},
    "DownConvBlock": {"in_channel", "out_channel", "t_emb_dim", "downsample", "act"},
    "TimestepEmbedding": {"embedding_dim", "hidden_dim", "output_dim", "act"},
}
ACTS = {**dict.fromkeys(BLOCKS, "SiLU"), "DownConvBlock": "LeakyReLU(0.2)", "TimestepEmbedding": "LeakyReLU(0.2)"}
OF_BLOCK = {
    "in_ch", "out_ch", "up", "down", "fir", "fir_kernel", "skip_rescale", "conv_shortcut", "temb_dim", "zemb_dim",
    "dropout",
}  # fmt: skip


def read(config):
    """The config, after proof that the layer is built by all that it says."""
    cls = config["cls"]
    check_known(config, {"cls", "official_needs_interpolate_fix", "note"} | KNOWN[cls], f"of {cls}")
    check_known(config.get("kwargs", {}), OF_BLOCK, f"of {cls}")
    assert config.get("act") == ACTS.get(cls), f"no test knows {cls} with {config.get('act')}"
    return config


def adaptive_norm(config):
    """Ours has as many groups as there can be of so many channels."""
    return AdaptiveGroupNorm(config["in_channel"] // config["num_groups"], name="layer")


def block(config):
    kwargs = config["kwargs"]
    direction = "up" if kwargs.get("up") else "down" if kwargs.get("down") else None
    ddpm = "DDPM" in config["cls"]
    layer = BLOCKS[config["cls"]](
        kwargs.get("out_ch", kwargs["in_ch"]),
        direction,
        convolution_taps(kwargs.get("fir_kernel", (1, 3, 3, 1)), direction) if kwargs.get("fir") else (1, 1),
        skip_scale=0.5**0.5 if kwargs.get("skip_rescale", not ddpm) else 1.0,
        skip_kernel=3 if kwargs.get("conv_shortcut") else 1,
        name="layer",
    )
    # Ours are given the embedding after its SiLU.
    return lambda x, zemb, temb=None: layer(x, (zemb, None if temb is None else nn.silu(temb)))


def change(direction):
    def make(config):
        taps = convolution_taps(config["fir_kernel"], direction) if config["fir"] else None
        return resampling_layer(
            config.get("out_ch", config["in_ch"]), direction, taps, config["with_conv"], None, "layer"
        )

    return make


def attention(config):
    return lambda x: residual_attention(x, 1, 0.5**0.5 if config["skip_rescale"] else 1.0, None)


LAYERS = {
    **dict.fromkeys(BLOCKS, block),
    "PixelNorm": lambda config: pixel_norm,
    "GaussianFourierProjection": lambda config: Fourier(2 * config["embedding_size"], name="layer").__call__,
    "AdaptiveGroupNorm": adaptive_norm,
    "Combine": lambda config: lambda x, y: combine(x, y, config["method"], None, "layer"),
    "AttnBlockpp": attention,
    "NIN": lambda config: Conv(config["num_units"], 1, name="layer"),
    "Upsample": change("up"),
    "Downsample": change("down"),
    "DownConvBlock": lambda config: DownBlock(config["out_channel"], config["downsample"], name="block0"),
    "TimestepEmbedding": lambda config: (
        lambda t: time_embedding(t, [config[f"{name}_dim"] for name in ("embedding", "hidden", "output")])
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
        rename_arrays({f"all_modules.0.{name}": a for name, a in state_dict.items()}, {"all_modules.0": part}), like
    )


@pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(cases(READS[0], "cls"), by("cls")))
def test_layer(arrays, config, x64):
    def run(**inputs):
        layer = LAYERS[config["cls"]](read(config))
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


def test_every_case_is_read():
    for path in reference.files(*READS):
        for case in reference.cases(arrays := reference.load(path)):
            assert {"cls", "dim"} & set(reference.config(arrays, case)), case
