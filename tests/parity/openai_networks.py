"""OpenAI's recorded networks, rebuilt from a file's config and parameters."""

import jax.numpy as jnp
import numpy as np

from jaxdiff.interop import openai
from jaxdiff.nets.classifier import GuidedClassifier
from jaxdiff.nets.unet_guided import GuidedUNet
from tests.support import reference

NAMES = {
    "num_res_blocks": "num_blocks",
    "num_head_channels": "head_channels",
    "use_new_attention_order": "new_attention_order",
    "use_scale_shift_norm": "adaptive_scale",
    "num_classes": "label_dim",
}
DEFAULTS = {"num_heads": 1, "adaptive_scale": False, "resblock_updown": False, "head_channels": None, "dropout": 0.0}
UNREAD = {"image_size", "attention_resolutions", "use_checkpoint", "use_fp16", "dims"}


def network(config, size):
    """The network of a recorded class, for images of that size."""
    recorded = config["kwargs"]
    kwargs = {NAMES.get(name, name): value for name, value in recorded.items() if name not in UNREAD}
    kwargs = {name: None if value == -1 else value for name, value in kwargs.items()}
    kwargs["channel_mult"] = tuple(recorded.get("channel_mult", (1, 2, 4, 8)))
    kwargs["attn_resolutions"] = tuple(size // factor for factor in recorded["attention_resolutions"])
    if kwargs.get("label_dim", 0) is None:
        kwargs["label_dim"] = 0
    if config["package"] == "improved_diffusion":
        kwargs["stem_channels"] = kwargs["model_channels"]
    cls = GuidedClassifier if config["cls"] == "EncoderUNetModel" else GuidedUNet
    if config["cls"].startswith("SuperRes"):
        kwargs["super_resolution"] = True
    if cls is GuidedClassifier:
        kwargs.setdefault("pool", "adaptive")
    return cls(img_resolution=size, **{**DEFAULTS, **kwargs})


def prepared(path, dtype=np.float64):
    """(arrays, net, params) of a recorded file."""
    arrays = reference.load(path)
    net = network(reference.config(arrays), arrays["in/x"].shape[-1])
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
