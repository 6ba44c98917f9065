"""What torch's wrappers put into names is taken from them by every reader of state dicts, in the same way."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import consistency, ddgan, inception, lpips, ncsnv2, openai, score_sde, score_sde_params
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params, published_name, to_params, unwrap
from jaxdiff.nets.ddgan.discriminator import Discriminator
from jaxdiff.nets.features.inception import InceptionV3
from jaxdiff.nets.ncsnv2.refinenet import NCSNv2
from jaxdiff.nets.unet.song import SongUNet
from tests.interop import test_lpips
from tests.parity import ddgan_networks, test_score_sde_networks
from tests.parity.score_sde_networks import config_of
from tests.parity.test_score_sde_networks import KNOWN
from tests.support import inception_file, reference
from tests.support.tiers import full


def named(like, name_of):
    """A state dict for a network: the number of each array, in the published axes."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}
    leaves = jax.tree_util.tree_leaves_with_path(like)
    turned = lambda leaf: [leaf.shape[a] for a in axes.get(len(leaf.shape), range(len(leaf.shape)))]  # noqa: E731
    return {name_of(path): np.full(turned(leaf), i, np.float32) for i, (path, leaf) in enumerate(leaves)}


def edm():
    net = SongUNet(8, 1, 1, model_channels=8, channel_mult=(1,), num_blocks=1)
    like = abstract_params(net)
    return lambda found: to_params(found, like, "model."), {
        f"model.{n}": a for n, a in named(like, published_name).items()
    }


def of_openai(read):
    flags = openai.Flags(
        image_size=32, num_channels=32, num_res_blocks=1, num_heads=1, channel_mult="1", attention_resolutions="32"
    )
    net = openai.network(flags)
    found = named(abstract_params(net), openai.openai_name)
    if read is consistency.params_of:
        narrow = (".qkv.weight", ".proj_out.weight")
        found = {n: a[..., None, None] if n.endswith(narrow) else a for n, a in found.items()}
    return lambda found: read(net, found), found


def score():
    arrays = reference.load(reference.ROOT / "score_sde" / "net_ncsnpp.npz")
    net = score_sde.network(test_score_sde_networks.options_of(config_of(arrays, *KNOWN)))
    found = {**reference.subset(arrays, "param"), "sigmas": np.ones(3)}
    return lambda found: score_sde_params.params_of_torch(net, found), found


def generator():
    arrays = reference.load(reference.ROOT / "ddgan" / "gen_default.npz")
    net = ddgan.network(ddgan_networks.options_of(reference.config(arrays)["kwargs"]))
    return lambda found: ddgan.params_of_generator(net, found), reference.subset(arrays, "param")


def discriminator():
    net = Discriminator(1, 8, 8)
    image = jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32)
    like = jax.eval_shape(net.init, jax.random.key(0), image, image, jax.ShapeDtypeStruct((1,), jnp.float32))
    return lambda found: ddgan.params_of_discriminator(net, found), named(like, ddgan.discriminator_name)


def refinenet():
    net = NCSNv2(8, 1, 4, sigmas=(2.0, 1.0))
    found = {**named(abstract_params(net), ncsnv2.ncsnv2_name), "sigmas": np.array([2.0, 1.0])}
    return lambda found: ncsnv2.params_of(net, found), found


READERS = {
    "edm": edm,
    "openai": lambda: of_openai(openai.params_of),
    "consistency": lambda: of_openai(consistency.params_of),
    "score_sde": score,
    "ddgan": generator,
    "discriminator": discriminator,
    "ncsnv2": refinenet,
    "inception": lambda: (lambda found: inception.inception_params(found, InceptionV3()), inception_file.published()),
    "vgg": lambda: (lambda found: lpips.vgg_params(found, test_lpips.NET), test_lpips.published()[0]),
    "lpips": lambda: (lambda found: lpips.linear_params(found, test_lpips.NET), test_lpips.published()[1]),
}


SLOW = ("inception", "consistency", "discriminator", "score_sde")
"""The first takes its time; the others go through a function that the default tier asks of another network."""


def inside(name):
    """As where a part was wrapped, not the whole."""
    first, *rest = name.split(".")
    return ".".join([first, "module", *rest])


@pytest.mark.parametrize("reader", [name for name in READERS if name not in SLOW] + full(*SLOW))
def test_wrappers_change_nothing(reader):
    read, found = READERS[reader]()
    assert list(unwrap(found)) == list(found), "a part of a network has a wrapper's name"
    wraps = ("module.{}".format, "_orig_mod.{}".format, "module._orig_mod.{}".format, inside)
    wrapped = {wraps[i % len(wraps)](name): a for i, (name, a) in enumerate(found.items())}
    chex.assert_trees_all_equal(read(wrapped), read(found))


def test_a_name_that_is_there_twice_is_refused():
    with pytest.raises(CheckpointFormatError, match=r"a\.b is there twice: a\.module\.b"):
        unwrap({"a.b": 1, "a.module.b": 2})
