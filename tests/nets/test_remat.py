"""Blocks that are computed anew in the backward pass: the same names, the same numbers, fewer of them kept."""

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxdiff.nets.ddgan.discriminator import Discriminator
from jaxdiff.nets.ddgan.generator import Generator
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.openai import GuidedUNet
from jaxdiff.nets.unet.song import SongUNet
from tests.support import quick_keys

SMALL = {"img_resolution": 8, "in_channels": 1, "out_channels": 1, "channel_mult": (1, 2), "attn_resolutions": (4,)}
X, T, KEY = jnp.ones((2, 8, 8, 1)), jnp.array([0.5, 1.0]), jax.random.key(0)
NETS = {
    "song": (SongUNet(**SMALL, model_channels=8, num_blocks=1), (X, T)),
    "adm": (DhariwalUNet(**SMALL, model_channels=64, num_blocks=1), (X, T)),
    "guided": (GuidedUNet(**SMALL, model_channels=32, num_blocks=1), (X, T)),
    "generator": (
        Generator(**SMALL, model_channels=8, num_blocks=1, latent_dim=3, map_features=8),
        (X, T, jnp.ones((2, 3))),
    ),
    "discriminator": (Discriminator(1, 4, emb_channels=8, channel_mult=(1, 2, 4)), (X, X, T)),
}


@pytest.mark.parametrize("name", NETS)
def test_parameters_have_the_same_names(name):
    net, inputs = NETS[name]
    shapes = [jax.eval_shape(net.clone(remat=remat).init, KEY, *inputs) for remat in (False, True)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", NETS)
def test_bfloat16_is_of_the_computation_only(name):
    """Parameters, outputs and gradients are float32."""
    net, inputs = NETS[name]
    net = net.clone(dtype=jnp.bfloat16, remat=True)
    params = jax.eval_shape(net.init, KEY, *inputs)
    out, grads = jax.eval_shape(jax.value_and_grad(lambda params: jnp.sum(net.apply(params, *inputs))), params)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, out, grads))} == {jnp.dtype("float32")}


@pytest.mark.full
@pytest.mark.parametrize("name", ["song", "discriminator"])
def test_gradients_are_the_same_and_activations_are_not_kept(name):
    net, inputs = NETS[name]
    params = jax.jit(net.init)(quick_keys.key(), *inputs)
    found, kept = [], []
    for remat in (False, True):
        of = net.clone(remat=remat)
        loss = lambda params, of=of: jnp.mean(jnp.square(of.apply(params, *inputs) - 1))  # noqa: E731
        found.append(jax.jit(jax.grad(loss))(params))
        _, residuals = jax.eval_shape(lambda params, loss=loss: jax.vjp(loss, params), params)
        kept.append(sum(leaf.size for leaf in jax.tree.leaves(residuals)))
    scale = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(found[0]))
    chex.assert_trees_all_close(*found, rtol=1e-7, atol=1e-5 * scale)
    assert kept[1] < kept[0]
