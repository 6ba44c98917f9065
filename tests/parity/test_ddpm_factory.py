"""Command-line flags of OpenAI's released models: the same names, shapes and types of process."""

import json
import math
from dataclasses import fields

import jax
import pytest

from jaxdiff.interop import openai
from jaxdiff.interop.state_dict import abstract_params
from jaxdiff.process import respacing
from tests.support import reference

READS = ("ddpm/factory.npz",)
# OpenAI's axes: [out, in, height, width] and [out, in]; the qkv, proj_out and pools are convolutions of width 1.
PRESETS = {
    "improved_cifar10": openai.CIFAR10,
    "improved_imagenet64": openai.IMAGENET_64,
    "guided_64_cond": openai.ADM_64,
    "guided_256_uncond": openai.ADM_256_UNCOND,
    "guided_classifier_64": openai.ADM_CLASSIFIER_64,
}


def all_cases():
    for path in reference.files(*READS):
        arrays = reference.load(path)
        yield from (pytest.param(arrays, case, id=case) for case in reference.cases(arrays))


def flags_of(config):
    """Our flags from recorded ones; those without an influence on numbers are left out."""
    recorded = config["flags"]
    cls = openai.ClassifierFlags if "classifier_width" in recorded else openai.Flags
    known = {field.name for field in fields(cls)}
    flags = {name: value for name, value in recorded.items() if name in known}
    left = set(recorded) - known - {"use_checkpoint", "use_fp16", "classifier_use_fp16"}
    assert not left, f"flags {left} are not known"
    return cls(**flags, **({"package": config["package"]} if cls is openai.Flags else {}))


@pytest.mark.parametrize(("arrays", "case"), list(all_cases()))
def test_released_networks(arrays, case):
    config = reference.config(arrays, case)
    flags = flags_of(config)
    net = openai.network(flags)
    shapes = {
        openai.openai_name(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(abstract_params(net))
    }
    recorded = reference.subset(arrays, f"{case}/out")
    expected = {
        str(name): tuple(int(n) for n in str(shape).split("x"))
        for name, shape in zip(recorded["names"], recorded["shapes"], strict=True)
    }
    assert set(shapes) == set(expected)
    for name, shape in expected.items():
        assert sorted(n for n in shapes[name] if n > 1) == sorted(n for n in shape if n > 1), name
    assert sum(math.prod(shape) for shape in shapes.values()) == recorded["num_parameters"]
    assert PRESETS.get(case, flags) == flags, "the preset is the recorded model"
    if "mean" in config:
        assert openai.objective_of(flags) == (config["mean"], config["var"], config["loss"])
        assert list(net.channel_mult) == config["channel_mult"]
        assert [net.img_resolution // res for res in net.attn_resolutions] == config["attention_ds"]


@pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)
def test_processes_of_flags(path):
    for case in json.loads(str(reference.load(path)["out/diffusion_flags_json"])):
        known = {field.name for field in fields(openai.Flags)}
        reference.only(case, *known, "steps", "num_timesteps", "mean", "var", "loss")
        flags = openai.Flags(
            **{name: value for name, value in case.items() if name in known}, diffusion_steps=case["steps"]
        )
        assert openai.objective_of(flags) == (case["mean"], case["var"], case["loss"]), case
        kept = respacing.space(case["steps"], flags.timestep_respacing or [case["steps"]])
        assert len(kept) == case["num_timesteps"]
