"""Published state dicts: a round trip through the published layout, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.state_dict import published_name, to_params
from jaxdiff.nets.unet.song import SongUNet

TAPS = (1, 3, 3, 1)
FILTER = np.outer(TAPS, TAPS)[None, None] / 64.0


@pytest.fixture(scope="module")
def like():
    net = SongUNet(
        8, 1, 1, model_channels=8, channel_mult=(1, 2), num_blocks=1, embedding_type="fourier", resample_filter=TAPS
    )
    return jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)), jnp.zeros(1))


@pytest.fixture
def published(like):
    """Name -> distinct values in the published axes, with a filter buffer."""
    rng = np.random.default_rng(0)

    def value(leaf):
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(leaf.shape)]
        return rng.normal(size=[leaf.shape[axis] for axis in axes])

    leaves = jax.tree_util.tree_leaves_with_path(like)
    return {published_name(path): value(leaf) for path, leaf in leaves} | {"enc.4x4_down.conv0.resample_filter": FILTER}


def test_axes_turn_and_a_prefix_selects(like, published):
    wrapped = {f"model.{name}": value for name, value in published.items()} | {"u": np.zeros(3)}
    params = to_params(wrapped, like, prefix="model.", resample_filter=TAPS)["params"]
    conv = published["enc.8x8_block0.conv0.weight"]
    np.testing.assert_array_equal(params["enc_8x8_block0"]["conv0"]["kernel"][2, 1, 5, 3], conv[3, 5, 2, 1])
    np.testing.assert_array_equal(params["map"]["map_layer0"]["kernel"], published["map_layer0.weight"].T)
    np.testing.assert_array_equal(params["enc_8x8_block0"]["norm0"]["scale"], published["enc.8x8_block0.norm0.weight"])
    np.testing.assert_array_equal(params["map"]["map_noise"]["freqs"], published["map_noise.freqs"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"map_layer0.weight": None}, r"lacks map_layer0\.weight"),
        ({"enc.8x8_block0.conv2.weight": np.zeros(3)}, r"has no enc\.8x8_block0\.conv2\.weight"),
        ({"map_layer0.bias": np.zeros(7)}, r"map_layer0\.bias has shape \[7\] in the checkpoint, \[32\] in the net"),
        ({"enc.4x4_down.conv0.resample_filter": np.ones((1, 1, 2, 2)) / 4}, r"enc\.4x4_down\.conv0\.resample_filter"),
        ({"enc.4x4_down.conv0.resample_filter": FILTER * 4}, r"by the network's \(1, 3, 3, 1\)"),
    ],
    ids=["missing", "unknown", "shape", "filter of another length", "filter of another sum"],
)
def test_what_does_not_fit_is_named(like, published, change, says):
    changed = {name: value for name, value in {**published, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=says):
        to_params(changed, like, resample_filter=TAPS)
