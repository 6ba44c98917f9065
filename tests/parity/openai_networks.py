"""OpenAI's recorded networks, rebuilt from a file's config and parameters."""

import jax.numpy as jnp
import numpy as np

from jaxdiff.interop import openai
from jaxdiff.nets.unet.openai import GuidedUNet
from jaxdiff.nets.unet.openai_classifier import GuidedClassifier
from tests.support import reference

PACKAGES = ("improved_diffusion", "guided_diffusion")
NAMES = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "model_channels": "model_channels",
    "num_res_blocks": "num_blocks",
    "num_heads": "num_heads",
    "num_heads_upsample": "num_heads_upsample",
    "num_head_channels": "head_channels",
    "use_new_attention_order": "new_attention_order",
    "use_scale_shift_norm": "adaptive_scale",
    "conv_resample": "conv_resample",
    "resblock_updown": "resblock_updown",
    "num_classes": "label_dim",
    "dropout": "dropout",
    "pool": "pool",
}
DEFAULTS = {"num_heads": 1, "adaptive_scale": False, "resblock_updown": False, "head_channels": None, "dropout": 0.0}
UNSET = {"num_heads_upsample": (-1, None), "head_channels": (-1,), "label_dim": (None,)}
"""Values that stand for none."""


def network(config, size):
    """The network of a recorded class, for images of that size."""
    recorded = reference.only(
        config["kwargs"], *NAMES, "attention_resolutions", "channel_mult", "use_checkpoint", "image_size",
        dims=(2,), use_fp16=(False,),
    )  # fmt: skip
    kwargs = {ours: recorded[theirs] for theirs, ours in NAMES.items() if theirs in recorded}
    kwargs = {name: value for name, value in kwargs.items() if value not in UNSET.get(name, ())}
    kwargs["channel_mult"] = tuple(recorded.get("channel_mult", (1, 2, 4, 8)))
    kwargs["attn_resolutions"] = tuple(size // factor for factor in recorded["attention_resolutions"])
    if config["package"] == "improved_diffusion":
        kwargs["stem_channels"] = kwargs["model_channels"]
    cls = {"EncoderUNetModel": GuidedClassifier, "UNetModel": GuidedUNet, "SuperResModel": GuidedUNet}[config["cls"]]
    if config["cls"] == "SuperResModel":
        kwargs["super_resolution"] = True
    if cls is GuidedClassifier:
        kwargs.setdefault("pool", "adaptive")
    return cls(img_resolution=size, **{**DEFAULTS, **kwargs})


def prepared(path, dtype=np.float64):
    """(arrays, net, params) of a recorded file."""
    arrays = reference.load(path)
    config = reference.only(reference.config(arrays), "cls", "kwargs", kind=("network",), package=PACKAGES)
    net = network(config, arrays["in/x"].shape[-1])
    state_dict = {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}
    return arrays, net, openai.params_of(net, state_dict)


def inputs_of(arrays, net, dtype=np.float64):
    """Keyword arguments of the recorded call."""
    image = lambda name: jnp.asarray(np.moveaxis(arrays[f"in/{name}"].astype(dtype), 1, -1))  # noqa: E731
    inputs = {"x": image("x"), "noise_labels": jnp.asarray(arrays["in/timesteps"].astype(dtype))}
    if "in/y" in arrays:
        inputs["class_labels"] = jnp.asarray(np.eye(net.label_dim, dtype=dtype)[arrays["in/y"]])
    if "in/low_res" in arrays:
        inputs["low_res"] = image("low_res")
    return inputs
