"""OpenAI's `.pt` state dicts: small files in the true layout, read without torch, and files that do not fit."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import openai
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params
from tests.support import forge

FLAGS = openai.Flags(image_size=32, num_channels=32, num_res_blocks=1, num_heads=2, learn_sigma=True, class_cond=True)
CLASSIFIER = openai.ClassifierFlags(image_size=32, classifier_width=64, classifier_depth=1)
SPATIAL = replace(CLASSIFIER, classifier_pool="spatial")


def published_shape(path, leaf):
    """OpenAI's axes of a parameter."""
    name = openai.openai_name(path)
    if path[-1].key != "kernel":
        return leaf.shape
    if len(leaf.shape) == 4:
        return tuple(leaf.shape[axis] for axis in (3, 2, 0, 1))
    narrow = name.split(".")[-2] in ("qkv", "proj_out", "qkv_proj", "c_proj")
    return leaf.shape[::-1] + ((1,) if narrow else ())


def state_dict_of(flags):
    """Random arrays under the published names and shapes."""
    return dict(made(flags))


@cache
def made(flags):
    like = abstract_params(openai.network(flags))
    random = np.random.default_rng(0)
    return {
        openai.openai_name(path): random.normal(size=published_shape(path, leaf)).astype(np.float32)
        for path, leaf in jax.tree_util.tree_leaves_with_path(like)
    }


@pytest.mark.parametrize("flags", [FLAGS, CLASSIFIER, SPATIAL], ids=["unet", "classifier", "spatial pool"])
def test_a_state_dict_becomes_a_network(flags, tmp_path):
    state_dict = state_dict_of(flags)
    path = tmp_path / "model.pt"
    path.write_bytes(forge.zipped(state_dict))
    net, params = openai.load_openai(path, flags)
    kernel = params["params"]["input_blocks_1_0"]["in_layers_2"]["kernel"]
    np.testing.assert_array_equal(
        kernel, state_dict["input_blocks.1.0.in_layers.2.weight"].transpose(2, 3, 1, 0)
    )  # fmt: skip
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    shape = jax.eval_shape(net.apply, params, jnp.zeros((2, 32, 32, 3)), jnp.zeros(2)).shape
    assert shape == ((2, 32, 32, 6) if flags is FLAGS else (2, 1000))
    if flags is FLAGS:
        np.testing.assert_array_equal(params["params"]["label_emb"], state_dict["label_emb.weight"])
    if flags is SPATIAL:
        # The stem; a block and a halving at each resolution but the last, which has a block; the middle.
        assert state_dict["out.0.weight"].shape == (2048, 64 + 2 * 64 + 2 * 128 + 2 * 128 + 128 + 128)
        assert state_dict["out.2.weight"].shape == (1000, 2048)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("out.2.bias"), "lacks out.2.bias"),
        (lambda d: d.update(extra=np.zeros(1, np.float32)), "has no extra"),
        (
            lambda d: d.update({"out.2.bias": np.zeros(3, np.float32)}),
            r"out.2.bias has shape \[3\] in the checkpoint, \[6\] in the network",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, says, tmp_path):
    state_dict = state_dict_of(FLAGS)
    change(state_dict)
    path = tmp_path / "model.pt"
    path.write_bytes(forge.zipped(state_dict))
    with pytest.raises(CheckpointFormatError, match=says):
        openai.load_openai(path, FLAGS)


@pytest.mark.parametrize("value", [[1, 2], {"a": 3}, {"a": {"b": np.zeros(2, np.float32)}}])
def test_no_state_dict(value, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(forge.zipped(value))
    with pytest.raises(CheckpointFormatError, match="holds no state dict"):
        openai.load_openai(path, FLAGS)


def test_image_size_without_a_default():
    with pytest.raises(ValueError, match="image_size 48 has no default channel_mult"):
        openai.network(openai.Flags(image_size=48))
