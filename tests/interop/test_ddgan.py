"""Denoising diffusion GANs' published files: small ones in the true layout, and ones that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import ddgan
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.score_sde_params import original_modules
from jaxdiff.interop.state_dict import published_name
from tests.parity.ddgan_networks import options_of
from tests.support import forge, reference

PATH = reference.ROOT / "ddgan" / "gen_default.npz"


@pytest.fixture(scope="module")
def published():
    """(options, state dict) of a recorded generator: true names in the true order."""
    arrays = reference.load(PATH)
    return options_of(reference.config(arrays)["kwargs"]), dict(reference.subset(arrays, "param"))


def wrapped(state_dict):
    """As the authors save it: under the name of the parallel wrapper."""
    return {f"module.{name}": a for name, a in state_dict.items()}


@pytest.mark.parametrize("write", [forge.zipped, forge.legacy])
@pytest.mark.parametrize("wrap", [wrapped, dict])
def test_a_published_file_is_read(write, wrap, published, tmp_path):
    options, state_dict = published
    path = tmp_path / "netG_1200.pth"
    path.write_bytes(write(wrap(state_dict)))
    net, params = ddgan.load_ddgan(path, options)
    layers = params["params"]
    np.testing.assert_array_equal(layers["latent_map"]["layer1"]["kernel"], state_dict["z_transform.3.weight"].T)
    np.testing.assert_array_equal(
        layers["enc_8x8_block0"]["norm1"]["style"]["kernel"], state_dict["all_modules.3.GroupNorm_1.style.weight"].T
    )
    np.testing.assert_array_equal(
        layers["enc_8x8_conv"]["kernel"], state_dict["all_modules.2.weight"].transpose(2, 3, 1, 0)
    )
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    x0 = jax.eval_shape(net.apply, params, jnp.zeros((2, 8, 8, 3)), jnp.zeros(2), jnp.zeros((2, options.nz)))
    assert x0.shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("module.z_transform.3.weight"), r"lacks latent_map.layer1.weight"),
        (lambda s: s.pop("module.all_modules.3.Conv_0.bias"), r"lacks enc.8x8_block0.conv0.bias"),
        (
            lambda s: s.update({"module.z_transform.9.weight": np.ones(1, "f4")}),
            r"the network has no z_transform.9.weight",
        ),
        (lambda s: s.update({"module.all_modules.99.weight": np.ones(1, "f4")}), r"no all_modules.99.weight"),
        (lambda s: s.update({"module.all_modules.2.bias": np.ones(7, "f4")}), r"enc.8x8_conv.bias has shape \[7\]"),
        (lambda s: s.update({"module.all_modules.7.NIN_0.W": np.ones(7, "f4")}), r"7.NIN_0.W has shape \[7\]"),
        (lambda s: s.update({"": np.ones(1, "f4")}), "the network has no "),
        (lambda s: s.update({"epoch": 3}), "holds no state dict of arrays"),
        (lambda s: s.update({3: np.ones(1, "f4")}), "holds no state dict of arrays"),
    ],
)
def test_what_does_not_fit_is_named(change, says, published, tmp_path):
    options, state_dict = published
    state_dict = wrapped(state_dict)
    change(state_dict)
    path = tmp_path / "netG_7.pth"
    path.write_bytes(forge.zipped(state_dict))
    with pytest.raises(CheckpointFormatError, match=rf"netG_7.pth:? .*{says}"):
        ddgan.load_ddgan(path, options)


def test_another_networks_options_are_refused(published, tmp_path):
    path = tmp_path / "netG_7.pth"
    path.write_bytes(forge.zipped(published[1]))
    with pytest.raises(CheckpointFormatError, match=r"netG_7.pth: the network has no all_modules"):
        ddgan.load_ddgan(path, ddgan.CIFAR10)


@pytest.mark.parametrize("name", ["CIFAR10", "CELEBA_HQ_256", "LSUN_CHURCH_256"])
def test_every_part_of_a_published_network_has_a_name(name):
    options = getattr(ddgan, name)
    net = ddgan.network(options)
    x = jnp.zeros((1, options.image_size, options.image_size, 3))
    params = jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1), jnp.zeros((1, options.nz)))
    ours = {published_name(path).rsplit(".", 1)[0] for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    named = {part.ours for part in original_modules(net)} | {"latent_map"}
    assert {next(n for n in named if module == n or module.startswith(f"{n}.")) for module in ours} == named
