"""Sizes of the paper's networks, counted without allocating them, and what the networks refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.systems import edm_recipes
from jaxdiff.nets import convolution
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.song import SongUNet
from tests.support import quick_keys
from tests.support.tiers import full


def count(net):
    """Trained parameters; the frequencies of a Fourier embedding are constants."""
    x = jnp.zeros((1, net.img_resolution, net.img_resolution, net.in_channels))
    params = jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return sum(int(np.prod(leaf.shape)) for path, leaf in leaves if "freqs" not in str(path))


@pytest.mark.parametrize(
    ("recipe", "millions"),
    [
        (edm_recipes.CIFAR10_COND_VP, 55.73),
        (edm_recipes.CIFAR10_COND_VE, 56.40),
        *full((edm_recipes.FFHQ_64_VP, 61.81), (edm_recipes.FFHQ_64_VE, 62.76)),
        (edm_recipes.IMAGENET_64_ADM, 295.90),
    ],
    ids=["CIFAR-10 DDPM++", "CIFAR-10 NCSN++", "64x64 DDPM++", "64x64 NCSN++", "ADM-64"],
)
def test_parameter_counts_of_the_paper(recipe, millions):
    """Karras et al. 2022, Table 7, "Model size"."""
    assert count(edm_recipes.network(recipe)) / 1e6 == pytest.approx(millions, abs=0.006)


def small(**kwargs):
    options = {"img_resolution": 8, "in_channels": 1, "out_channels": 1, "model_channels": 8, "channel_mult": (1, 2)}
    return SongUNet(**{**options, "num_blocks": 1, "attn_resolutions": (), **kwargs})


@pytest.mark.parametrize(
    ("net", "x", "labels", "says"),
    [
        (small(), (2, 8, 8, 3), {}, "x must be"),
        (small(), (2, 4, 4, 1), {}, "x must be"),
        (small(), (8, 8, 1), {}, "x must be"),
        (small(img_resolution=9), (2, 9, 9, 1), {}, "divisible by 2"),
        (small(model_channels=2), (2, 8, 8, 1), {}, "model_channels=2"),
        (small(), (2, 8, 8, 1), {"augment_labels": jnp.zeros((2, 9))}, "augment_labels were given"),
        (small(), (2, 8, 8, 1), {"class_labels": jnp.zeros((2, 9))}, "class_labels were given"),
        (small(label_dim=4), (2, 8, 8, 1), {"class_labels": jnp.zeros((2, 9))}, "class_labels must be"),
        (small(label_dim=4), (2, 8, 8, 1), {"class_labels": jnp.array([0, 1])}, "class_labels must be"),
        (small(label_dim=4), (2, 8, 8, 1), {"class_labels": jnp.zeros((3, 4))}, "class_labels must be"),
        (DhariwalUNet(6, 1, 1, channel_mult=(1, 1, 1)), (2, 6, 6, 1), {}, "divisible by 4"),
    ],
)
def test_shapes_are_checked_before_compilation(net, x, labels, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros(x), jnp.zeros(2), **labels))


def test_bfloat16_computes_in_bfloat16_and_returns_float32(monkeypatch):
    net, x = small(dtype=jnp.bfloat16, label_dim=3, attn_resolutions=(4,)), jnp.ones((2, 8, 8, 1))
    params = jax.jit(net.init)(quick_keys.key(), x, jnp.zeros(2))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    seen, convolve = set(), convolution.convolve

    def spy(x, kernel, pad):
        seen.add(x.dtype)
        return convolve(x, kernel, pad)

    monkeypatch.setattr(convolution, "convolve", spy)
    low = jax.jit(net.apply)(params, x, jnp.zeros(2))
    assert seen == {jnp.dtype("bfloat16")}
    assert low.dtype == jnp.float32
    full = jax.jit(net.clone(dtype=None).apply)(params, x, jnp.zeros(2))
    np.testing.assert_allclose(low, full, atol=0.05 * float(jnp.abs(full).max()) + 1e-6)


def test_dropout_needs_training_and_a_key():
    net, x = small(dropout=0.5, channel_mult=(1,)), jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    params = jax.tree.map(lambda a: a + 0.1, jax.jit(net.init)(quick_keys.key(), x, jnp.zeros(2)))
    train = jax.jit(lambda key: net.apply(params, x, jnp.zeros(2), train=True, rngs={"dropout": key}))
    run = lambda seed: train(jax.random.key(seed))  # noqa: E731
    assert not np.allclose(run(0), run(1))
    np.testing.assert_array_equal(run(0), run(0))
    rest = jax.jit(net.apply)
    np.testing.assert_array_equal(rest(params, x, jnp.zeros(2)), rest(params, x, jnp.zeros(2)))
