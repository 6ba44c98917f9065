"""OpenAI's improved-diffusion and guided-diffusion: command-line flags to networks, `.pt` files to params.

Names map mechanically: "input_blocks.1.0.in_layers.0.weight" -> params["input_blocks_1_0"]["in_layers_0"]["scale"].
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxdiff import precond
from jaxdiff.interop.state_dict import abstract_params, float_params, read_state_dict
from jaxdiff.nets.checks import check_choices
from jaxdiff.nets.unet.openai import GuidedUNet
from jaxdiff.nets.unet.openai_classifier import GuidedClassifier, Pool
from jaxdiff.precond import Preconditioning
from jaxdiff.process import betas, respacing
from jaxdiff.process.betas import Betas
from jaxdiff.types import Params

NUM_CLASSES = 1000
BETAS: dict[str, Callable[[int], Betas]] = {"linear": betas.linear, "cosine": betas.cosine}
CHANNEL_MULT: dict[int, tuple[float, ...]] = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
    32: (1, 2, 2, 2),
}


@dataclass(frozen=True)
class Flags:
    """Flags of a diffusion model, spelled as the command line spells them; the defaults are improved-diffusion's."""

    package: Literal["improved", "guided"] = "improved"
    image_size: int = 64
    num_channels: int = 128
    num_res_blocks: int = 2
    num_heads: int = 4
    num_heads_upsample: int = -1
    num_head_channels: int = -1
    attention_resolutions: str = "16,8"
    channel_mult: str = ""
    dropout: float = 0.0
    class_cond: bool = False
    use_scale_shift_norm: bool = True
    resblock_updown: bool = False
    use_new_attention_order: bool = False
    learn_sigma: bool = False
    sigma_small: bool = False
    use_kl: bool = False
    predict_xstart: bool = False
    rescale_timesteps: bool = True
    rescale_learned_sigmas: bool = True
    diffusion_steps: int = 1000
    noise_schedule: Literal["linear", "cosine"] = "linear"
    timestep_respacing: str = ""


@dataclass(frozen=True)
class ClassifierFlags:
    """Flags of a classifier, spelled as guided-diffusion's command line spells them."""

    image_size: int = 64
    classifier_width: int = 128
    classifier_depth: int = 2
    classifier_attention_resolutions: str = "32,16,8"
    classifier_use_scale_shift_norm: bool = True
    classifier_resblock_updown: bool = True
    classifier_pool: Pool = "attention"


CIFAR10 = Flags(image_size=32, num_res_blocks=3, learn_sigma=True, dropout=0.3)
"""improved-diffusion, CIFAR-10."""
IMAGENET_64 = Flags(image_size=64, num_res_blocks=3, learn_sigma=True)
"""improved-diffusion, ImageNet 64x64."""
ADM_64 = Flags(
    "guided", 64, 192, 3, num_head_channels=64, attention_resolutions="32,16,8", dropout=0.1, class_cond=True,
    resblock_updown=True, use_new_attention_order=True, learn_sigma=True, rescale_timesteps=False,
    rescale_learned_sigmas=False, noise_schedule="cosine",
)  # fmt: skip
"""guided-diffusion, ImageNet 64x64 with classes."""
ADM_256_UNCOND = Flags(
    "guided", 256, 256, 2, num_head_channels=64, attention_resolutions="32,16,8", resblock_updown=True,
    learn_sigma=True, rescale_timesteps=False, rescale_learned_sigmas=False,
)  # fmt: skip
"""guided-diffusion, ImageNet 256x256 without classes."""
ADM_CLASSIFIER_64 = ClassifierFlags(classifier_depth=4)
"""guided-diffusion, the classifier for ImageNet 64x64."""


class Objective(NamedTuple):
    """What a model predicts and how it was trained, in the authors' names."""

    mean: Literal["EPSILON", "START_X"]
    var: Literal["FIXED_SMALL", "FIXED_LARGE", "LEARNED_RANGE"]
    loss: Literal["MSE", "RESCALED_MSE", "RESCALED_KL"]


def objective_of(flags: Flags) -> Objective:
    """Return the prediction, variance and loss that the flags choose.

    Example:
      >>> objective_of(CIFAR10)
      Objective(mean='EPSILON', var='LEARNED_RANGE', loss='RESCALED_MSE')
    """
    fixed: Literal["FIXED_SMALL", "FIXED_LARGE"] = "FIXED_SMALL" if flags.sigma_small else "FIXED_LARGE"
    mse: Literal["MSE", "RESCALED_MSE"] = "RESCALED_MSE" if flags.rescale_learned_sigmas else "MSE"
    return Objective(
        "START_X" if flags.predict_xstart else "EPSILON",
        "LEARNED_RANGE" if flags.learn_sigma else fixed,
        "RESCALED_KL" if flags.use_kl else mse,
    )


class TrainedProcess(NamedTuple):
    """The chain that a model was trained on, and those of its steps that are sampled.

    Attributes:
      betas: of the chain that the network was trained on; steps: those of it that `timestep_respacing` keeps, all
        without it; `respacing.respace` makes the chain that is sampled.
      preconditioning: of the network, by its prediction and by the label that it takes for a step.
    """

    betas: Betas
    steps: list[int]
    preconditioning: Preconditioning


def trained_process(flags: Flags) -> TrainedProcess:
    """Return the chain that the flags describe, with the network's preconditioning on it.

    Raises: ValueError for an unknown noise_schedule, and as `respacing.space`.
    Reference: Nichol & Dhariwal 2021, section 3.2 for the cosine schedule, section 4 for fewer steps.
    Example:
      >>> found = trained_process(Flags(noise_schedule="cosine", diffusion_steps=4000, timestep_respacing="ddim50"))
      >>> len(found.betas), len(found.steps), float(found.preconditioning.c_noise(np.array(1e9)))
      (4000, 50, 999.75)
    """
    check_choices(flags)
    chain = BETAS[flags.noise_schedule](flags.diffusion_steps)
    steps = respacing.space(flags.diffusion_steps, flags.timestep_respacing or [flags.diffusion_steps])
    scale = 1000 / flags.diffusion_steps if flags.rescale_timesteps else 1.0
    prediction = precond.ddpm.x0 if flags.predict_xstart else precond.ddpm.eps
    return TrainedProcess(chain, steps, prediction(chain, scale))


def network(flags: Flags | ClassifierFlags) -> Any:
    """Make the network that the flags describe.

    Raises: ValueError for an image size without a default for channel_mult, and a choice that is none of those allowed.
    Reference: Nichol & Dhariwal 2021, Appendix A; Dhariwal & Nichol 2021, section 3.
    Example:
      >>> network(CIFAR10).out_channels, network(ADM_64).label_dim, network(ADM_CLASSIFIER_64).out_channels
      (6, 1000, 1000)
    """
    check_choices(flags)
    size = flags.image_size
    if isinstance(flags, ClassifierFlags):
        return GuidedClassifier(
            size, 3, NUM_CLASSES, flags.classifier_width, _channel_mult(size, ""), None, flags.classifier_depth,
            _numbers(flags.classifier_attention_resolutions), head_channels=64, pool=flags.classifier_pool,
            adaptive_scale=flags.classifier_use_scale_shift_norm, resblock_updown=flags.classifier_resblock_updown,
        )  # fmt: skip
    improved = flags.package == "improved"
    return GuidedUNet(
        size, 3, 6 if flags.learn_sigma else 3, NUM_CLASSES if flags.class_cond else 0, flags.num_channels,
        _channel_mult(size, flags.channel_mult), flags.num_channels if improved else None, flags.num_res_blocks,
        _numbers(flags.attention_resolutions), flags.num_heads, _positive(flags.num_heads_upsample),
        _positive(flags.num_head_channels), flags.use_new_attention_order, flags.use_scale_shift_norm,
        resblock_updown=flags.resblock_updown, dropout=flags.dropout,
    )  # fmt: skip


def load_openai(path: str | Path, flags: Flags | ClassifierFlags) -> tuple[Any, Params]:
    """Load a published model, ready for `precond.denoiser` (or `denoiser_with_variance`) with one of `precond.ddpm`.

    Args:
      path: such as "cifar10_uncond_50M_500K.pt"; read without executing anything in it.
      flags: of the model, such as `replace(CIFAR10, diffusion_steps=4000, noise_schedule="cosine")`.
    Returns: (net, params), float32.
    Raises: CheckpointFormatError (a ValueError) naming what is missing, unknown, or of another shape.
    Reference: Nichol & Dhariwal 2021; Dhariwal & Nichol 2021. Tested on small files of this format; the published
      files themselves could not be had here.
    Example:
      >>> load_openai("no.pt", CIFAR10)
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'no.pt'
    """
    net = network(flags)
    return net, params_of(net, read_state_dict(path))


def params_of(net: Any, state_dict: Mapping[str, np.ndarray]) -> Params:
    """Map a state dict to the params of a `GuidedUNet` or `GuidedClassifier`.

    Args:
      net: the network; state_dict: name -> array.
    Returns: params, float32 or better.
    Raises: CheckpointFormatError as `load_openai`.
    Example:
      >>> from jaxdiff.nets.unet import GuidedUNet
      >>> net = GuidedUNet(8, 1, 1, model_channels=32, channel_mult=(1,), num_blocks=0)
      >>> params_of(net, {})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the state dict lacks input_blocks.0.0.bias, ...
    """
    return float_params(state_dict, abstract_params(net), openai_name)


def openai_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """Return the state dict's name of a parameter.

    Example:
      >>> [(path, _)] = jax.tree_util.tree_leaves_with_path({"params": {"input_blocks_1_0": {"norm": {"scale": 1}}}})
      >>> openai_name(path)
      'input_blocks.1.0.norm.weight'
    """
    names = [str(entry.key) for entry in path[1:]]
    leaf = {"kernel": "weight", "scale": "weight", "label_emb": "label_emb.weight"}.get(names[-1], names[-1])
    return ".".join(re.sub(r"_(?=\d)", ".", name) for name in [*names[:-1], leaf])


def _channel_mult(image_size: int, text: str) -> tuple[float, ...]:
    if text:
        return _numbers(text)
    if image_size not in CHANNEL_MULT:
        raise ValueError(f"image_size {image_size} has no default channel_mult; those with one: {sorted(CHANNEL_MULT)}")
    return CHANNEL_MULT[image_size]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def _positive(number: int) -> int | None:
    return number if number > 0 else None
