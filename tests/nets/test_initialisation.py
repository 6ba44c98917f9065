"""How parameters start: every kernel against the closed form of its distribution, and float32 also under x64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.ncsnv2.refinenet import NCSNv2
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.song import SongUNet
from tests.support import quick_keys

NETS = {
    "song": SongUNet(
        8, 3, 3, label_dim=10, augment_dim=9, model_channels=64, channel_mult=(1, 2), num_blocks=1,
        attn_resolutions=(4,), encoder_type="residual", decoder_type="skip",
    ),
    "adm": DhariwalUNet(
        8, 3, 3, label_dim=10, augment_dim=9, model_channels=64, channel_mult=(1, 2), num_blocks=1,
    ),
    "ncsnv2": NCSNv2(8, 3, model_channels=32, channel_mult=(1, 2), dilations=(1, 2)),
}  # fmt: skip


def named(net):
    """[(path, array)] of a fresh network."""
    x = jnp.zeros((1, 8, 8, 3))
    params = jax.jit(net.init)(quick_keys.key(), x, jnp.zeros(1))
    leaves = jax.tree_util.tree_leaves_with_path(params["params"])
    return [(tuple(entry.key for entry in path), np.asarray(leaf, np.float64)) for path, leaf in leaves]


def fans(kernel):
    area = np.prod(kernel.shape[:-2], dtype=int)
    return area * kernel.shape[-2], area * kernel.shape[-1]


def uniform(value, bound, path):
    """All within the bound, and spread as U(-bound, bound): 5 standard errors of mean and of mean square."""
    assert np.abs(value).max() <= bound * (1 + 1e-6), path
    assert abs(value.mean()) <= 5 * bound / np.sqrt(3 * value.size), path
    assert abs(np.mean(value**2) / bound**2 - 1 / 3) <= 5 * np.sqrt(4 / 45 / value.size), path


def test_song_is_xavier_uniform_with_small_outputs():
    """Karras et al. 2022, Appendix F.1: 1e-5 before every sum and output, sqrt(0.2) for queries, keys and values."""
    seen = set()
    for path, value in named(NETS["song"]):
        if path[-1] == "bias":
            np.testing.assert_array_equal(value, 0)
        elif path[-1] == "kernel":
            small = path[-2] in ("conv1", "proj") or path[-2].endswith("aux_conv")
            scale = 1e-5 if small else 0.2**0.5 if path[-2] == "qkv" else 1.0
            uniform(value, scale * np.sqrt(6 / sum(fans(value))), path)
            seen.add(scale)
    assert seen == {1e-5, 0.2**0.5, 1.0}


def test_adm_is_uniform_by_fan_in_with_zero_outputs():
    values = dict(named(NETS["adm"]))
    for path, value in values.items():
        if path[-2] in ("conv1", "proj", "out_conv", "map_augment"):
            np.testing.assert_array_equal(value, 0)
        elif path[-2] == "map_label":
            assert abs(np.mean(value**2) - 1) <= 5 * np.sqrt(2 / value.size)
        elif path[-1] == "kernel":
            uniform(value, fans(value)[0] ** -0.5, path)
        elif path[-1] == "bias" and (*path[:-1], "kernel") in values:
            uniform(value, fans(values[*path[:-1], "kernel"])[0] ** -0.5, path)


def test_ncsnv2_is_uniform_by_fan_in_with_norms_around_one():
    """PyTorch's default for convolutions and their biases; Song & Ermon's N(1, 0.02^2) for scales of norms."""
    values = dict(named(NETS["ncsnv2"]))
    scales = [value for path, value in values.items() if path[-1] in ("alpha", "gamma")]
    assert abs(np.concatenate(scales).mean() - 1) <= 5 * 0.02 / np.sqrt(np.concatenate(scales).size)
    assert abs(np.concatenate(scales).std() / 0.02 - 1) <= 5 / np.sqrt(2 * np.concatenate(scales).size)
    for path, value in values.items():
        if path[-1] == "beta":
            np.testing.assert_array_equal(value, 0)
        elif path[-1] in ("kernel", "bias"):
            uniform(value, fans(values[*path[:-1], "kernel"])[0] ** -0.5, path)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_parameters_are_float32_in_double_precision_too(net, x64):
    x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float64)
    params = jax.eval_shape(net.init, jax.random.key(0), x, jax.ShapeDtypeStruct((1,), jnp.float64))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
