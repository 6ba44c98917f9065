"""Score SDE's checkpoints of both kinds: small files in the true layouts, and files that do not fit."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.serialization import msgpack_serialize

from jaxdiff.interop import score_sde
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.score_sde_params import original_modules
from jaxdiff.interop.state_dict import abstract_params, published_name
from tests.parity.score_sde_networks import config_of
from tests.parity.test_score_sde_networks import KNOWN, options_of
from tests.support import forge, reference

PATH = reference.ROOT / "score_sde" / "net_ncsnpp.npz"


@pytest.fixture(scope="module")
def published():
    """(options, state dict) of a recorded network: true names in the true order."""
    arrays = reference.load(PATH)
    return options_of(config_of(arrays, *KNOWN)), reference.subset(arrays, "param")


def port(state_dict, shadow=None):
    """What the port saves: the model under its parallel wrapper, the averages as a bare list."""
    model = {f"module.{name}": a.astype(np.float32) for name, a in state_dict.items()}
    model["module.sigmas"] = np.ones(3, np.float32)
    averages = [a.astype(np.float32) + 1 for name, a in state_dict.items() if name != "all_modules.0.W"]
    ema = {"decay": 0.999, "num_updates": 7, "shadow_params": averages if shadow is None else shadow}
    return {"optimizer": {"state": {}, "param_groups": []}, "model": model, "ema": ema, "step": 7}


def original(state_dict):
    """The same parameters as the original nests and turns them, one count a kind of module."""
    sizes = sorted({int(name.split(".")[1]) for name in state_dict})
    tree, count = {}, {}
    for index in sizes:
        inner = {name.split(".", 2)[2]: a for name, a in state_dict.items() if name.split(".")[1] == str(index)}
        kind = kind_of(index, inner)
        number = count.setdefault(kind, 0)
        count[kind] += 1
        module = tree.setdefault(f"{kind}_{number}", {})
        for name, value in inner.items():
            *within, leaf = name.split(".")
            node = module
            for part in within:
                node = node.setdefault(part, {})
            node[flax_leaf(leaf, value, within)] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else (
                value.T if leaf == "weight" else value
            )  # fmt: skip
    return tree


def kind_of(index, inner):
    """The original's class of a module of this network."""
    if "W" in inner:
        return "GaussianFourierProjection"
    if "NIN_3.W" in inner:
        return "AttnBlockpp"
    if "Conv_1.weight" in inner:
        return "ResnetBlockBigGANpp"
    if "Conv2d_0.weight" in inner:
        return "Downsample"
    return {1: "GroupNorm", 2: "Dense", 4: "Conv"}[inner["weight"].ndim]


def flax_leaf(leaf, value, within):
    if within == ["Conv2d_0"]:  # a convolution with a filter
        return leaf
    return ("scale" if value.ndim == 1 else "kernel") if leaf == "weight" else leaf


def test_both_kinds_of_file_hold_the_same_network(published, tmp_path):
    options, state_dict = published
    plus_one = {name: a + (name != "all_modules.0.W") for name, a in state_dict.items()}
    (tmp_path / "checkpoint_7.pth").write_bytes(forge.zipped(port(state_dict)))
    tree = {"step": 7, "params_ema": original({name: a.astype(np.float32) for name, a in plus_one.items()})}
    (tmp_path / "checkpoint_7").write_bytes(msgpack_serialize(tree))
    net, params = score_sde.load_score_sde(tmp_path / "checkpoint_7.pth", options)
    _, same = score_sde.load_score_sde(tmp_path / "checkpoint_7", options)
    chex.assert_trees_all_equal(params, same)
    np.testing.assert_array_equal(params["params"]["map"]["map_noise"]["freqs"], state_dict["all_modules.0.W"])
    np.testing.assert_array_equal(
        params["params"]["enc_8x8_conv"]["kernel"], state_dict["all_modules.3.weight"].transpose(2, 3, 1, 0) + 1
    )
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    assert jax.eval_shape(net.apply, params, jnp.zeros((2, 8, 8, 3)), jnp.zeros(2)).shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("ema"), "holds no model and ema"),
        (lambda c: c["ema"]["shadow_params"].pop(), "averages for"),
        (lambda c: c["model"].update({"module.all_modules.99.weight": np.ones(1, np.float32)}), "averages for"),
        (lambda c: c["ema"]["shadow_params"].__setitem__(-1, np.ones(7, np.float32)), r"bias has shape \[7\]"),
    ],
)
def test_what_does_not_fit_is_named(change, says, published, tmp_path):
    options, state_dict = published
    checkpoint = port(state_dict)
    change(checkpoint)
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(forge.zipped(checkpoint))
    with pytest.raises(CheckpointFormatError, match=rf"checkpoint.pth: .*{says}"):
        score_sde.load_score_sde(path, options)


def test_another_network_and_other_trees_are_refused(published, tmp_path):
    options, _ = published
    path = tmp_path / "checkpoint"
    path.write_bytes(msgpack_serialize({"step": 1}))
    with pytest.raises(CheckpointFormatError, match="holds no params_ema, only step"):
        score_sde.load_score_sde(path, options)
    path.write_bytes(msgpack_serialize({"params_ema": {"Dense_7": {"kernel": np.ones((1, 1), np.float32)}}}))
    with pytest.raises(CheckpointFormatError, match=r"the network has no Dense_7.weight"):
        score_sde.load_score_sde(path, options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fir_kernel": (1, 2, 1, 1)}, r"fir_kernel=\(1, 2, 1, 1\) has no effect with fir=False"),
        ({"fir": True, "fir_kernel": ((1, 2), (2, 1))}, "fir_kernel must be a flat sequence of an even number of taps"),
        ({"resamp_with_conv": False}, "resamp_with_conv=False has no effect with resblock_type='biggan'"),
        ({"progressive_combine": "cat"}, "has no effect with progressive_input='none': leave it at 'sum'"),
        ({"name": "ddpm", "fir": True}, "fir=True has no effect with name='ddpm': leave it at False"),
        ({"name": "ddpm", "embedding_type": "fourier"}, "embedding_type='fourier' has no effect"),
        ({"nonlinearity": "gelu"}, "nonlinearity must be one of swish, elu, relu, lrelu, got 'gelu'"),
        ({"resblock_type": "bigan"}, "resblock_type must be one of biggan, ddpm"),
    ],
)
def test_what_would_be_ignored_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        score_sde.network(score_sde.Options(**options))


@pytest.mark.parametrize(("name", "fir"), [("ncsnpp", False), ("ncsnpp", True), ("ddpm", False)])
def test_without_convolutions_resampling_has_no_parameters(name, fir):
    """The original counts the layers all the same, so the names of the others stay."""
    options = {"nf": 32, "ch_mult": (1, 1), "num_res_blocks": 1, "image_size": 8, "attn_resolutions": (), "name": name}
    options |= {} if name == "ddpm" else {"resblock_type": "ddpm", "fir": fir}
    with_conv, without = (
        score_sde.network(score_sde.Options(**options, resamp_with_conv=conv)) for conv in (True, False)
    )
    layers = {"enc_4x4_down", "dec_8x8_up"}
    assert set(abstract_params(with_conv)["params"]) - set(abstract_params(without)["params"]) == layers
    assert [part.ours for part in original_modules(with_conv)] == [part.ours for part in original_modules(without)]


@pytest.mark.parametrize("name", ["DDPMPP", "DDPMPP_DEEP", "NCSNPP", "NCSNPP_DEEP", "DDPM"])
def test_every_part_of_a_published_network_has_a_name(name):
    net = score_sde.network(getattr(score_sde, name))
    paths = jax.tree_util.tree_leaves_with_path(abstract_params(net))
    ours = {published_name(path).rsplit(".", 1)[0] for path, _ in paths}
    named = {part.ours for part in original_modules(net)}
    assert {next(n for n in named if module == n or module.startswith(f"{n}.")) for module in ours} == named
