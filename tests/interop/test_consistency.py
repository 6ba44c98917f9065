"""OpenAI's consistency `.pt` files: small ones in the true layout, what the published names mean, what does not fit."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import consistency, openai
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from tests.support import forge
from tests.support.hostile import HOSTILE

FLAGS = openai.Flags(
    image_size=32, num_channels=32, num_res_blocks=1, num_head_channels=16, attention_resolutions="16",
    class_cond=True, resblock_updown=True,
)  # fmt: skip


def state_dict_of(flags, tail=(1, 1)):
    """Random arrays under the published names and shapes; projections of attention are convolutions of this rank."""
    return dict(made(flags, tail))


@cache
def made(flags, tail):
    random = np.random.default_rng(0)
    state_dict = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(abstract_params(consistency.network(flags))):
        name, shape = openai.openai_name(path), leaf.shape
        if path[-1].key == "kernel":
            shape = tuple(shape[axis] for axis in (3, 2, 0, 1)) if len(shape) == 4 else shape[::-1]
            shape += tail if name.split(".")[-2] in ("qkv", "proj_out") else ()
        state_dict[name] = random.normal(size=shape).astype(np.float32)
    return state_dict


def written(tmp_path, state_dict, name="model.pt", layout=forge.zipped):
    path = tmp_path / name
    path.write_bytes(layout(state_dict))
    return path


@pytest.mark.parametrize("layout", [forge.zipped, forge.legacy])
def test_a_state_dict_becomes_a_network(layout, tmp_path):
    state_dict = state_dict_of(FLAGS)
    net, params = consistency.load_consistency(written(tmp_path, state_dict, layout=layout), FLAGS)
    assert net.new_attention_order
    attention = params["params"]["middle_block_1"]
    np.testing.assert_array_equal(attention["qkv"]["kernel"], state_dict["middle_block.1.qkv.weight"][:, :, 0, 0].T)
    np.testing.assert_array_equal(params["params"]["label_emb"], state_dict["label_emb.weight"])
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    labels = jnp.zeros((2, 1000))
    shape = jax.eval_shape(net.apply, params, jnp.zeros((2, 32, 32, 3)), jnp.zeros(2), labels).shape
    assert shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("out.2.bias"), "lacks out.2.bias"),
        (lambda d: d.pop("middle_block.1.qkv.weight"), "lacks middle_block.1.qkv.weight"),
        (lambda d: d.update(extra=np.zeros(1, np.float32)), "has no extra"),
        (
            lambda d: d.update({"out.2.bias": np.zeros(6, np.float32)}),
            r"out.2.bias has shape \[6\] in the checkpoint, \[3\] in the network",
        ),
        (
            lambda d: d.update({"middle_block.1.qkv.weight": np.zeros((96, 32, 1, 1), np.float32)}),
            "middle_block.1.qkv.weight has shape",
        ),
        (
            lambda d: d.update({"middle_block.1.qkv.weight": np.zeros((192, 64, 3, 3), np.float32)}),
            r"middle_block.1.qkv.weight has shape \[192, 64, 3, 3\], not \[out, in, 1, 1\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, says, tmp_path):
    state_dict = state_dict_of(FLAGS)
    change(state_dict)
    with pytest.raises(CheckpointFormatError, match=says):
        consistency.load_consistency(written(tmp_path, state_dict), FLAGS)


def test_the_two_releases_are_not_taken_for_each_other(tmp_path):
    """Names and numbers of parameters agree, the order of the attention's outputs may not."""
    guided = written(tmp_path, state_dict_of(FLAGS, tail=(1,)))
    with pytest.raises(CheckpointFormatError, match=r"files of guided-diffusion are read by interop\.openai"):
        consistency.load_consistency(guided, FLAGS)
    ours = written(tmp_path, state_dict_of(FLAGS))
    with pytest.raises(CheckpointFormatError, match=r"(qkv|proj_out).weight has shape \[1, 1, "):
        openai.load_openai(ours, FLAGS)


def test_other_options_than_the_file_s(tmp_path):
    path = written(tmp_path, state_dict_of(FLAGS), "cd_imagenet64_lpips.pt")
    with pytest.raises(CheckpointFormatError, match="the state dict lacks"):
        consistency.load_consistency(path)  # the name stands for a far larger network


@pytest.mark.parametrize("value", [[1, 2], {"a": 3}, {"a": {"b": np.zeros(2, np.float32)}}])
def test_no_state_dict(value, tmp_path):
    with pytest.raises(CheckpointFormatError, match="holds no state dict"):
        consistency.load_consistency(written(tmp_path, value), FLAGS)


@pytest.mark.parametrize("case", ["os.system", "builtins.exec", "getattr chain"])
def test_hostile_files_are_refused(case, tmp_path, monkeypatch):
    path = tmp_path / "ct_imagenet64.pt"
    path.write_bytes(HOSTILE[case][0])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointFormatError):
        consistency.load_consistency(path)
    assert [file.name for file in tmp_path.iterdir()] == ["ct_imagenet64.pt"]


def test_a_truncated_file_is_refused(tmp_path):
    path = written(tmp_path, state_dict_of(FLAGS))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointFormatError):
        consistency.load_consistency(path, FLAGS)


def test_an_unknown_name_needs_flags(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.pt is not a published file's name, so its flags must be given"):
        consistency.load_consistency(tmp_path / "mine.pt")


def parameters(net):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(abstract_params(net)))


def test_the_network_for_imagenet_is_adm_s_size():
    """EDM's description of the same architecture, which other code of ours builds, has as many parameters."""
    edm = DhariwalUNet(64, 3, 3, label_dim=1000)
    assert parameters(consistency.network(consistency.IMAGENET_64)) == parameters(edm)


def test_what_the_published_names_mean():
    published = consistency.PUBLISHED
    assert len(published) == 12
    assert {name for name, about in published.items() if about.is_teacher} == {
        n for n in published if n.startswith("edm")
    }
    for name, about in published.items():
        assert about.flags.image_size == (64 if "64" in name else 256)
        assert about.flags.class_cond == ("imagenet" in name)
        if about.two_step:
            first, middle, last = about.two_step
            assert first == 0 < middle < last == about.num_points - 1


def test_the_teacher_s_preconditioning():
    teacher, sigma = consistency.teacher_preconditioning(), jnp.array([0.002, 1.0, 80.0])
    np.testing.assert_allclose(teacher.c_noise(sigma), 250 * np.log(np.asarray(sigma)), rtol=1e-6)
    np.testing.assert_allclose(teacher.c_out(sigma) ** 2, teacher.c_skip(sigma) * sigma**2, rtol=1e-6)
    assert (teacher.sigma_min, teacher.sigma_max) == (0.002, 80.0)
