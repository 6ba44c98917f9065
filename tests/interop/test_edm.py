"""Pickles in the layout of EDM's published models: what is read, and what is said of those that do not fit."""

import json
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import precond
from jaxdiff.interop.edm import from_arguments, load_edm
from jaxdiff.interop.edm_pickle import read_edm
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import published_name
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.song import SongUNet
from tests.support import forge
from tests.support.tiers import full

DATA = Path(__file__).parent / "data"
SHAPE = {"img_resolution": 8, "img_channels": 3, "label_dim": 2}
KWARGS = {"model_channels": 4, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "dropout": 0.1}
KINDS = {
    "VPPrecond": ({"beta_d": 10, "M": 500}, SongUNet, precond.vp(beta_d=10, num_levels=500)),
    "VEPrecond": ({"sigma_min": 0.1}, SongUNet, precond.ve(sigma_min=0.1)),
    "iDDPMPrecond": ({"M": 100, "C_2": 0.01}, DhariwalUNet, precond.iddpm(100, c_2=0.01)),
    "EDMPrecond": ({"sigma_data": 0.25}, DhariwalUNet, precond.edm(0.25)),
}


@cache
def published(network, outputs=1):
    """Random arrays for a network, named and shaped as published; not to be changed."""
    net = network(img_resolution=8, in_channels=3, out_channels=3 * outputs, label_dim=2, **KWARGS)
    like = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))
    rng = np.random.default_rng(0)
    arrays = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(like):
        array = rng.standard_normal(leaf.shape, np.float32)
        arrays["model." + published_name(path)] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    return arrays


def write(tmp_path, parameters, class_name="EDMPrecond", kwargs=None, buffers=None, protocol=4, **others):
    path = tmp_path / "model.pkl"
    kwargs = SHAPE | KWARGS | {"use_fp16": False} if kwargs is None else kwargs
    path.write_bytes(forge.edm(parameters, buffers or {}, class_name, kwargs, protocol, **others))
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_torch_wrote(protocol):
    checkpoint = read_edm(DATA / f"persistent_protocol{protocol}.pkl")
    kwargs = {"img_resolution": 8, "img_channels": 3, "channel_mult": [1, 2], "use_fp16": False}
    assert (checkpoint.class_name, checkpoint.kwargs) == ("EDMPrecond", kwargs)
    assert list(checkpoint.state_dict) == ["model.enc.8x8_conv.weight", "model.enc.8x8_conv.taps"]
    np.testing.assert_array_equal(checkpoint.state_dict["model.enc.8x8_conv.weight"], [[0, 1, 2], [3, 4, 5]])
    assert checkpoint.metadata["loss_fn"] == {"class_name": "EDMLoss", "P_mean": -1.2, "P_std": 1.2}
    assert checkpoint.metadata["dataset_kwargs"]["p"] == 0.5
    json.dumps(checkpoint.metadata)


@pytest.mark.parametrize("class_name", KINDS)
@pytest.mark.parametrize("protocol", [2, *full(3), 4, *full(5)])
def test_each_preconditioner(class_name, protocol, tmp_path):
    settings, network, expected = KINDS[class_name]
    outputs = 1 + (class_name == "iDDPMPrecond")
    arrays = published(network, outputs=outputs)
    buffers = {"u": np.zeros(101, np.float32)} if class_name == "iDDPMPrecond" else {}
    kwargs = SHAPE | KWARGS | settings | {"use_fp16": True}
    path = write(tmp_path, arrays, class_name, kwargs, buffers, protocol, loss_fn=None)
    net, params, preconditioning, metadata = load_edm(path)
    assert isinstance(net, network)
    assert (net.img_resolution, net.in_channels, net.out_channels, net.label_dim) == (8, 3, 3 * outputs, 2)
    assert metadata == {"class_name": class_name, "kwargs": kwargs, "loss_fn": None}
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    sigma = jnp.array([0.02, 1.0, 50.0])
    for ours, theirs in zip(preconditioning[:4], expected[:4], strict=True):
        np.testing.assert_array_equal(ours(sigma), theirs(sigma))
    assert preconditioning[4:6] == expected[4:6]
    kernel = params["params"]["enc_8x8_conv"]["kernel"]
    np.testing.assert_array_equal(kernel, arrays["model.enc.8x8_conv.weight"].transpose(2, 3, 1, 0))
    denoise = precond.denoiser(precond.leading_channels(net.apply), params, preconditioning)
    assert jax.eval_shape(denoise, jnp.ones((1, 8, 8, 3)), jnp.array(1.0)).shape == (1, 8, 8, 3)


def test_bare_model(tmp_path):
    """Only the model is needed; further keys are optional."""
    assert read_edm(write(tmp_path, published(DhariwalUNet))).metadata.keys() == {"class_name", "kwargs"}


def change(name, array):
    return lambda arrays: arrays | {name: array}


CONV = "model.enc.8x8_conv.weight"
MISFITS = {
    "shape": (
        change(CONV, np.zeros((5, 3, 3, 3), np.float32)),
        {},
        ["enc.8x8_conv.weight", "[3, 3, 3, 5]", "[3, 3, 3, 4]"],
    ),
    "missing": (lambda arrays: {n: a for n, a in arrays.items() if n != CONV}, {}, ["enc.8x8_conv.weight"]),
    "unknown": (change("model.extra.weight", np.zeros(3, np.float32)), {}, ["extra.weight"]),
    "type": (dict, {"model_type": "Imaginary"}, ["'Imaginary'", "SongUNet, DhariwalUNet"]),
    "argument": (dict, {"imaginary": 3}, ["'imaginary'"]),
    "value": (dict, {"sigma_data": "x"}, ["sigma_data", "'x'"]),
    "negative": (dict, {"sigma_data": -1.0}, ["sigma_data", "-1.0"]),
    "object": (dict, {"model_channels": forge.persistent("Layer", {})}, ["'model_channels'", "PersistentObject"]),
    "too large": (dict, {"model_channels": 10**9}, ["'model_channels'", "1000000000"]),
    "too many blocks": (dict, {"num_blocks": 60_000}, ["num_blocks"]),
    "too many levels": (dict, {"channel_mult": [1] * 17}, ["'channel_mult'"]),
    "text for a number": (dict, {"num_blocks": "many"}, ["recorded network"]),
    "zero channels": (dict, {"model_channels": 0}, ["recorded network"]),
    "no resolution": (dict, {"img_resolution": None}, ["'img_resolution'"]),
    "levels of u": (change("u", np.zeros(7, np.float32)), {"class_name": "iDDPMPrecond"}, ["M is 1000", "7"]),
}


def test_a_class_that_is_not_known_is_named():
    with pytest.raises(CheckpointFormatError, match="class is 'Imaginary', allowed are VPPrecond, VEPrecond"):
        from_arguments("Imaginary", {}, 1)


@pytest.mark.parametrize("case", MISFITS)
def test_misfits_are_named(case, tmp_path):
    alter, kwargs, words = MISFITS[case]
    arrays = alter(published(DhariwalUNet))
    class_name = kwargs.get("class_name", "EDMPrecond")
    kwargs = {name: value for name, value in kwargs.items() if name != "class_name"}
    with pytest.raises(CheckpointFormatError) as caught:
        load_edm(write(tmp_path, arrays, class_name, SHAPE | KWARGS | kwargs))
    assert all(word in str(caught.value) for word in words), caught.value
