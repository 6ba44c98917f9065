"""OpenAI's consistency_models: the published `.pt` files as networks and params, and what their authors ran them with.

The network is guided-diffusion's. Its queries, keys and values come from one 1x1 convolution in two dimensions whose
outputs lie as (q|k|v, head, channel) in every file, whatever the flag use_new_attention_order is.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff import precond
from jaxdiff.interop import openai
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.openai import Flags
from jaxdiff.interop.state_dict import read_state_dict
from jaxdiff.nets.checks import check_choices
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, Params, as_floating

PROCESS_FLAGS = (
    "sigma_small", "use_kl", "predict_xstart", "rescale_timesteps", "rescale_learned_sigmas", "diffusion_steps",
    "noise_schedule", "timestep_respacing",
)  # fmt: skip
"""Flags of a diffusion process, which these models lack."""
SIGMA_DATA, SIGMA_MIN, SIGMA_MAX, RHO = 0.5, 0.002, 80.0, 7.0
"""Of every published model, the teachers too."""

IMAGENET_64 = Flags(
    "guided", 64, 192, 3, num_head_channels=64, attention_resolutions="32,16,8", class_cond=True, resblock_updown=True
)
"""ImageNet 64x64 with classes, by the commands in the authors' scripts/launch.sh."""
LSUN_256 = Flags(
    "guided", 256, 256, 2, num_head_channels=64, attention_resolutions="32,16,8", use_scale_shift_norm=False,
    resblock_updown=True,
)  # fmt: skip
"""LSUN bedrooms and cats 256x256, by the same commands."""


class PublishedModel(NamedTuple):
    """What the authors' commands say of a published file.

    Attributes:
      flags: of its network; teachers were trained with dropout 0.1, consistency models without.
      is_teacher: an EDM denoiser, D by EDM's preconditioning; else a consistency function, f by `precond.consistency`.
      num_points, two_step: a Karras grid (rho 7) of so many levels from sigma_max to sigma_min, and the indices in it
        of their two-step sampling, of which the last is the end; None and () where they give no command.
    """

    flags: Flags
    is_teacher: bool = False
    num_points: int | None = None
    two_step: tuple[int, ...] = ()


PUBLISHED: Mapping[str, PublishedModel] = {
    "edm_imagenet64_ema.pt": PublishedModel(replace(IMAGENET_64, dropout=0.1), is_teacher=True),
    "cd_imagenet64_l2.pt": PublishedModel(IMAGENET_64, False, 40, (0, 22, 39)),
    "cd_imagenet64_lpips.pt": PublishedModel(IMAGENET_64, False, 40, (0, 22, 39)),
    "ct_imagenet64.pt": PublishedModel(IMAGENET_64, False, 201, (0, 106, 200)),
    "edm_bedroom256_ema.pt": PublishedModel(replace(LSUN_256, dropout=0.1), is_teacher=True),
    "cd_bedroom256_l2.pt": PublishedModel(LSUN_256, False, 40, (0, 18, 39)),
    "cd_bedroom256_lpips.pt": PublishedModel(LSUN_256, False, 40, (0, 17, 39)),
    "ct_bedroom256.pt": PublishedModel(LSUN_256, False, 151, (0, 67, 150)),
    "edm_cat256_ema.pt": PublishedModel(replace(LSUN_256, dropout=0.1), is_teacher=True),
    "cd_cat256_l2.pt": PublishedModel(LSUN_256),
    "cd_cat256_lpips.pt": PublishedModel(LSUN_256),
    "ct_cat256.pt": PublishedModel(LSUN_256, False, 151, (0, 62, 150)),
}
"""The twelve files of the authors' README, by name."""


def c_noise(sigma: Array) -> Array:
    """Return the label that the networks take: 250 ln sigma, a thousand times EDM's.

    Example:
      >>> float(c_noise(jnp.array(1.0)))
      0.0
    """
    return 250 * jnp.log(as_floating(sigma))


def teacher_preconditioning() -> Preconditioning:
    """Return the preconditioning of the published EDM teachers: EDM's own, with their label and range of levels.

    A consistency model takes `precond.consistency` of the same sigma_data and sigma_min, with `c_noise`.

    Reference: Song et al. 2023, Appendix C.
    Example:
      >>> edm = teacher_preconditioning()
      >>> float(edm.c_skip(jnp.array(0.5))), edm.sigma_max
      (0.5, 80.0)
    """
    return precond.edm(SIGMA_DATA)._replace(c_noise=c_noise, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)


def load_consistency(path: str | Path, flags: Flags | None = None) -> tuple[Any, Params]:
    """Load a published model, or one that was trained with the authors' code.

    Args:
      path: such as "cd_imagenet64_lpips.pt"; read without executing anything in it.
      flags: of its network; None looks a published file up by its name in `PUBLISHED`.
    Returns: (net, params), float32. net.apply(params, c_in x, `c_noise`(sigma), class_labels) is F(x).
    Raises: ValueError when the name is not one of the twelve and no flags are given; CheckpointFormatError (a
      ValueError) naming what is missing, unknown, or of another shape.
    Reference: Song et al. 2023, Appendix C. Tested on small files of this format and on a recorded network; the
      published files themselves could not be had here.
    Example:
      >>> load_consistency("cd_imagenet64_l2.pt")
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'cd_imagenet64_l2.pt'
    """
    name = Path(path).name
    if flags is None and name not in PUBLISHED:
        raise ValueError(
            f"{name} is not a published file's name, so its flags must be given; names: {', '.join(PUBLISHED)}"
        )
    net = network(PUBLISHED[name].flags if flags is None else flags)
    return net, params_of(net, read_state_dict(path))


def network(flags: Flags) -> Any:
    """Make the network that the flags describe, with this release's order of attention.

    Its package is guided-diffusion, whatever the flags are.
    Raises: ValueError as `openai.network`, and for flags of a diffusion process, which these models lack.
    Example:
      >>> network(IMAGENET_64).new_attention_order, network(IMAGENET_64).label_dim
      (True, 1000)
    """
    check_choices(flags)
    for name in PROCESS_FLAGS:
        if getattr(flags, name) != getattr(Flags(), name):
            raise ValueError(f"{name} must be left out, a consistency model has no chain, got {getattr(flags, name)}")
    return openai.network(replace(flags, package="guided", use_new_attention_order=True))


def params_of(net: Any, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Map a state dict of this release to the params of a `GuidedUNet`.

    Args:
      net: the network; state_dict: name -> array.
    Returns: params, float32 or better.
    Raises: CheckpointFormatError as `load_consistency`, also for a state dict of guided-diffusion, which has the same
      names: its one-dimensional convolutions may order their outputs otherwise.
    Example:
      >>> params_of(network(IMAGENET_64), {"middle_block.1.qkv.weight": np.zeros((12, 4, 1))})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: middle_block.1.qkv.weight has shape [12, 4, 1], ...
    """
    return openai.params_of(net, {name: _projection(name, value) for name, value in state_dict.items()})


def _projection(name: str, value: np.ndarray) -> np.ndarray:
    """[out, in, 1, 1] of attention as [out, in, 1], in which the outputs lie alike."""
    if not name.endswith((".qkv.weight", ".proj_out.weight")):
        return value
    if value.ndim != 4 or value.shape[2:] != (1, 1):
        raise CheckpointFormatError(
            f"{name} has shape {list(value.shape)}, not [out, in, 1, 1] as in consistency_models; "
            "files of guided-diffusion are read by interop.openai"
        )
    return value[..., 0]
