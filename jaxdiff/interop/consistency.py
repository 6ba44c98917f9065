"""OpenAI's consistency_models: the released `.pt` files as networks and params, and what their authors ran them with.

The network is guided-diffusion's. Its queries, keys and values come from one 1x1 convolution in two dimensions whose
outputs lie as (q|k|v, head, channel) in every file, whatever the flag use_new_attention_order says.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff import precond
from jaxdiff.interop import openai
from jaxdiff.interop.inert import CheckpointFormatError
from jaxdiff.interop.openai import Flags
from jaxdiff.interop.state_dict import read
from jaxdiff.nets.conditioning import check_choices
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, Params, floating

OF_A_CHAIN = (
    "sigma_small", "use_kl", "predict_xstart", "rescale_timesteps", "rescale_learned_sigmas", "diffusion_steps",
    "noise_schedule", "timestep_respacing",
)  # fmt: skip
"""Flags of a diffusion model that say nothing of these networks."""
SIGMA_DATA, SIGMA_MIN, SIGMA_MAX, RHO = 0.5, 0.002, 80.0, 7.0
"""Of every released model, the teachers too."""

IMAGENET_64 = Flags(
    "guided", 64, 192, 3, num_head_channels=64, attention_resolutions="32,16,8", class_cond=True, resblock_updown=True
)
"""ImageNet 64x64 with classes, by the commands in the authors' scripts/launch.sh."""
LSUN_256 = Flags(
    "guided", 256, 256, 2, num_head_channels=64, attention_resolutions="32,16,8", use_scale_shift_norm=False,
    resblock_updown=True,
)  # fmt: skip
"""LSUN bedrooms and cats 256x256, by the same commands."""


class Released(NamedTuple):
    """What the authors' commands say of a released file.

    Attributes:
      flags: of its network; teachers were trained with dropout 0.1, consistency models without.
      is_teacher: an EDM denoiser, D by the plain EDM row; else a consistency function, f by the boundary row.
      num_points, two_step: a Karras grid (rho 7) of so many levels from sigma_max to sigma_min, and the indices in it
        of their two-step sampling, of which the last is the end; None and () where they give no command.
    """

    flags: Flags
    is_teacher: bool = False
    num_points: int | None = None
    two_step: tuple[int, ...] = ()


RELEASED: Mapping[str, Released] = {
    "edm_imagenet64_ema.pt": Released(replace(IMAGENET_64, dropout=0.1), is_teacher=True),
    "cd_imagenet64_l2.pt": Released(IMAGENET_64, False, 40, (0, 22, 39)),
    "cd_imagenet64_lpips.pt": Released(IMAGENET_64, False, 40, (0, 22, 39)),
    "ct_imagenet64.pt": Released(IMAGENET_64, False, 201, (0, 106, 200)),
    "edm_bedroom256_ema.pt": Released(replace(LSUN_256, dropout=0.1), is_teacher=True),
    "cd_bedroom256_l2.pt": Released(LSUN_256, False, 40, (0, 18, 39)),
    "cd_bedroom256_lpips.pt": Released(LSUN_256, False, 40, (0, 17, 39)),
    "ct_bedroom256.pt": Released(LSUN_256, False, 151, (0, 67, 150)),
    "edm_cat256_ema.pt": Released(replace(LSUN_256, dropout=0.1), is_teacher=True),
    "cd_cat256_l2.pt": Released(LSUN_256),
    "cd_cat256_lpips.pt": Released(LSUN_256),
    "ct_cat256.pt": Released(LSUN_256, False, 151, (0, 62, 150)),
}
"""The twelve files of the authors' README, by name."""


def c_noise(sigma: Array) -> Array:
    """The label that the networks take: 250 ln sigma, a thousand times EDM's.

    Example:
      >>> float(c_noise(jnp.array(1.0)))
      0.0
    """
    return 250 * jnp.log(floating(sigma))


def teacher() -> Preconditioning:
    """The row of the released EDM teachers: EDM's own, with their label and range of levels.

    A consistency model takes the boundary row of the same sigma_data and sigma_min, with `c_noise`.

    Example:
      >>> float(teacher().c_skip(jnp.array(0.5))), teacher().sigma_max
      (0.5, 80.0)
    """
    return precond.edm(SIGMA_DATA)._replace(c_noise=c_noise, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)


def load_consistency(path: str | Path, flags: Flags | None = None) -> tuple[Any, Params]:
    """A released model, or one that was trained with the authors' code.

    Args:
      path: such as "cd_imagenet64_lpips.pt"; read without executing anything in it.
      flags: of its network; None looks a released file up by its name in `RELEASED`.
    Returns: (net, params), float32. net.apply(params, c_in x, `c_noise`(sigma), class_labels) is F of its row.
    Raises: ValueError when the name is not one of the twelve and no flags are given; CheckpointFormatError (a
      ValueError) naming what is missing, unknown, or of another shape.
    Reference: Song et al. 2023, Appendix C. Tested on small files of this format and on a recorded network; the
      released files themselves could not be had here.
    """
    name = Path(path).name
    if flags is None and name not in RELEASED:
        raise ValueError(
            f"{name} is not a released file's name, so its flags must be given; names: {', '.join(RELEASED)}"
        )
    net = network(RELEASED[name].flags if flags is None else flags)
    return net, params_of(net, read(path))


def network(flags: Flags) -> Any:
    """The network that the flags describe, with this release's order of attention.

    Its package is guided-diffusion, whatever the flags say.
    Raises: ValueError as `openai.network`, and for flags of a chain, which these models have not.
    """
    check_choices(flags)
    for name in OF_A_CHAIN:
        if getattr(flags, name) != getattr(Flags(), name):
            raise ValueError(f"{name} must be left out, a consistency model has no chain, got {getattr(flags, name)}")
    return openai.network(replace(flags, package="guided", use_new_attention_order=True))


def params_of(net: Any, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Parameters of a `GuidedUNet` from a state dict of this release.

    Raises: CheckpointFormatError as `load_consistency`, also for a state dict of guided-diffusion, which has the same
      names: its one-dimensional convolutions may order their outputs otherwise.
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
