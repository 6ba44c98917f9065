"""Score SDE's published models: the options of their configurations to networks, and both kinds of files to params."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxdiff.interop.formats import flax_msgpack, torch_file
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.score_sde_params import params_of_flax, params_of_torch
from jaxdiff.nets.checks import check_choices, check_taps
from jaxdiff.nets.layers import Nonlinearity
from jaxdiff.nets.unet.song import SongUNet
from jaxdiff.nets.unet.song_frame import DecoderType, EncoderType
from jaxdiff.types import Params


@dataclass(frozen=True)
class Options:
    """`config.model` of a published model, spelled as its authors spell it; the defaults are DDPM++ on CIFAR-10."""

    image_size: int = 32
    num_channels: int = 3
    nf: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 2, 2)
    num_res_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    dropout: float = 0.1
    nonlinearity: Nonlinearity = "swish"
    conditional: bool = True
    resblock_type: Literal["biggan", "ddpm"] = "biggan"
    resamp_with_conv: bool = True
    fir: bool = False
    fir_kernel: tuple[int, ...] = (1, 3, 3, 1)
    skip_rescale: bool = True
    progressive: Literal["none", "output_skip", "residual"] = "none"
    progressive_input: Literal["none", "input_skip", "residual"] = "none"
    progressive_combine: Literal["sum", "cat"] = "sum"
    embedding_type: Literal["positional", "fourier"] = "positional"
    name: Literal["ncsnpp", "ddpm"] = "ncsnpp"


DDPMPP = Options()
"""DDPM++ (VP and sub-VP), CIFAR-10."""
DDPMPP_DEEP = Options(num_res_blocks=8)
"""DDPM++ of twice the depth, CIFAR-10."""
NCSNPP = Options(fir=True, progressive_input="residual", embedding_type="fourier")
"""NCSN++ (VE), CIFAR-10."""
NCSNPP_DEEP = Options(fir=True, num_res_blocks=8, progressive_input="residual", embedding_type="fourier")
"""NCSN++ of twice the depth, CIFAR-10."""
DDPM = Options(num_res_blocks=2, name="ddpm")
"""DDPM's network, CIFAR-10."""

ENCODER: dict[str, EncoderType] = {"none": "standard", "input_skip": "skip", "residual": "residual"}
DECODER: dict[str, DecoderType] = {"none": "standard", "output_skip": "skip", "residual": "residual"}

NOT_OF_DDPM = {
    "resblock_type", "fir", "fir_kernel", "skip_rescale", "progressive", "progressive_input", "progressive_combine",
    "embedding_type",
}  # fmt: skip
"""Options that name="ddpm" does not know."""


def network(options: Options) -> SongUNet:
    """Make the network that the options describe.

    It takes images in [-1, 1] and the label as the embedding wants it: log(sigma) for "fourier", 999 t or an index for
    "positional". Division by sigma and the shift of data from [0, 1] are the preconditioning's: `precond.ve` for VE,
    `precond.score_sde.eps` for VP and sub-VP.

    Raises: ValueError for an option that is none of the choices, and for one that the others leave without effect.
    Reference: Song et al. 2021, Appendix H, and the authors' configurations.
    Example:
      >>> network(NCSNPP).encoder_type, network(DDPM).resblock_updown
      ('residual', False)
    """
    _check(options)
    ddpm = options.name == "ddpm"
    fourier = options.embedding_type == "fourier" and not ddpm
    return SongUNet(
        **frame_options(options),
        model_channels=options.nf,
        embedding_type="fourier" if fourier else "positional",
        channel_mult_noise=2 if fourier else 1,
        down_filter="convolve",
        resblock_updown=options.resblock_type == "biggan" and not ddpm,
        skip_scale=0.5**0.5 if options.skip_rescale and not ddpm else 1.0,
        group_channels=1 if ddpm else 4,
        nonlinearity=options.nonlinearity,
    )


def frame_options(options: Any) -> dict[str, Any]:
    """Map the options that score SDE's and DDGAN's networks share to those of `UNetFrame`.

    Example:
      >>> frame_options(NCSNPP)["encoder_type"], frame_options(DDPMPP)["resample_filter"]
      ('residual', None)
    """
    return {
        "img_resolution": options.image_size,
        "in_channels": options.num_channels,
        "out_channels": options.num_channels,
        "channel_mult": options.ch_mult,
        "num_blocks": options.num_res_blocks,
        "attn_resolutions": options.attn_resolutions,
        "dropout": options.dropout,
        "conditional": options.conditional,
        "encoder_type": ENCODER[options.progressive_input],
        "decoder_type": DECODER[options.progressive],
        "encoder_combine": options.progressive_combine,
        "resample_filter": options.fir_kernel if options.fir else None,
        "resample_conv": options.resamp_with_conv,
    }


def _check(options: Options) -> None:
    """Raise ValueError for an option that is none of the choices, and for one that the others leave without effect."""
    check_choices(options)
    check_taps("fir_kernel", options.fir_kernel)
    ddpm = options.name == "ddpm"
    idle = (
        (ddpm, NOT_OF_DDPM, "name='ddpm'"),
        (not options.fir, {"fir_kernel"}, "fir=False"),
        (options.resblock_type == "biggan" and not ddpm, {"resamp_with_conv"}, "resblock_type='biggan'"),
        (
            options.progressive_input != "input_skip",
            {"progressive_combine"},
            f"progressive_input={options.progressive_input!r}",
        ),
    )
    for field in fields(options):
        value = getattr(options, field.name)
        value = tuple(value) if isinstance(value, list) else value
        for is_so, names, why in idle:
            if is_so and field.name in names and value != field.default:
                raise ValueError(f"{field.name}={value!r} has no effect with {why}: leave it at {field.default!r}")


def load_score_sde(path: str | Path, options: Options) -> tuple[SongUNet, Params]:
    """Load a published model's averaged parameters, ready for `precond.denoiser` or `precond.score_sde.score`.

    Args:
      path: a `.pth` of the PyTorch port, or a msgpack checkpoint of the original Flax code.
      options: of the model, such as `NCSNPP`.
    Returns: (net, params), float32.
    Raises: CheckpointFormatError (a ValueError) naming what is missing, unknown, or of another shape; OSError.
    Reference: Song et al. 2021. Tested on small files of both formats; the published ones could not be had here.
    Example:
      >>> load_score_sde("no.pth", NCSNPP)
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'no.pth'
    """
    net = network(options)
    with torch_file.memory_map(path) as data:
        is_torch = data[:2] in (b"PK", b"\x80\x02")
    try:
        if is_torch:
            return net, params_of_torch(net, _averaged(torch_file.load(path)))
        tree = flax_msgpack.load(path)
        if not isinstance(tree.get("params_ema"), Mapping):
            raise CheckpointFormatError(f"holds no params_ema, only {', '.join(sorted(map(str, tree))[:5])}")
        return net, params_of_flax(net, tree["params_ema"])
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{Path(path).name}: {error}") from None


def _averaged(checkpoint: Any) -> dict[str, np.ndarray]:
    """The state dict of a port's checkpoint, with the moving averages instead of the trained parameters.

    The averages are a bare list, in the order of the trained parameters; Fourier frequencies are not among them.
    """
    if not isinstance(checkpoint, Mapping) or not {"model", "ema"} <= set(checkpoint):
        raise CheckpointFormatError("holds no model and ema")
    state, shadow = checkpoint["model"], checkpoint["ema"].get("shadow_params")
    trained = [name for name in state if not name.endswith(("sigmas", "all_modules.0.W"))]
    if not isinstance(shadow, list) or len(shadow) != len(trained):
        found = len(shadow) if isinstance(shadow, list) else "no"
        raise CheckpointFormatError(f"holds {found} averages for {len(trained)} trained parameters")
    return {**state, **dict(zip(trained, shadow, strict=True))}
