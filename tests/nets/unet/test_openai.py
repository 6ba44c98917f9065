"""The U-Net of improved DDPM and ADM: sizes of the papers, types, dropout, and what it refuses."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import ddpm_cifar
from jaxdiff.nets.unet.openai import GuidedUNet
from jaxdiff.nets.unet.openai_block import ResBlock
from jaxdiff.nets.unet.openai_classifier import GuidedClassifier
from tests.support import quick_keys
from tests.support.tiers import full


def small(**kwargs):
    options = {"img_resolution": 8, "in_channels": 1, "out_channels": 2, "model_channels": 32, "channel_mult": (1, 1)}
    return GuidedUNet(**{**options, "num_blocks": 1, "attn_resolutions": (4,), **kwargs})


def test_parameters_of_ho_2020():
    """Ho et al. 2020, section 4: 35.7 million for CIFAR-10."""
    system = ddpm_cifar.system(ddpm_cifar.resolve(ddpm_cifar.Config(data="cifar10", recipe="ho2020")))
    shapes = jax.tree.leaves(jax.eval_shape(system.init, jax.random.key(0)))
    assert sum(math.prod(leaf.shape) for leaf in shapes) / 1e6 == pytest.approx(35.7, abs=0.06)


def test_an_untrained_network_returns_zeros():
    """The output layer starts at zero, so that the first prediction is the mean of the noise."""
    net, x = small(), jnp.ones((2, 8, 8, 1))
    params = jax.jit(net.init)(quick_keys.key(), x, jnp.zeros(2))
    assert not np.any(jax.jit(net.apply)(params, x, jnp.zeros(2)))


def test_low_precision_and_dropout():
    net, x = small(dtype=jnp.bfloat16, dropout=0.5), jnp.ones((2, 8, 8, 1))
    params = jax.jit(net.init)(quick_keys.key(), x, jnp.zeros(2))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    # Layers that start at zero would hide everything before them.
    params = jax.tree.map(lambda a: a + 0.1, params)
    run = jax.jit(lambda key: net.apply(params, x, jnp.zeros(2), train=True, rngs={"dropout": key}))
    first, again, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    assert first.dtype == jnp.float32
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("pool", ["spatial_v2", *full("spatial")])
def test_spatial_pools(pool):
    """Written anew from the blocks' outputs: their means over positions, a hidden layer, the logits."""
    net = GuidedClassifier(4, 1, 3, 32, (1,), num_blocks=1, attn_resolutions=(), head_channels=32, pool=pool)
    x, t = jnp.linspace(-1, 1, 32).reshape(2, 4, 4, 1), jnp.array([1.0, 2.0])
    params = jax.jit(net.init)(quick_keys.key(), x, t)
    run = jax.jit(lambda params: net.apply(params, x, t, capture_intermediates=True, mutable="intermediates"))
    logits, seen = run(params)
    names = ("input_blocks_0_0", "input_blocks_1_0", "middle_block_2")
    h = np.concatenate([np.mean(seen["intermediates"][name]["__call__"][0], axis=(1, 2)) for name in names], axis=-1)
    layers = {name: dict(arrays) for name, arrays in params["params"].items() if name.startswith("out_")}
    h = h @ layers["out_0"]["kernel"] + layers["out_0"]["bias"][None]
    if pool == "spatial":
        h, last = np.maximum(h, 0), layers["out_2"]
    else:
        groups = h.reshape(2, 32, 64)
        h = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
        h, last = h.reshape(2, 2048), layers["out_3"]
        h = h / (1 + np.exp(-h))  # the norm's scale starts at one, its bias at zero
    assert logits.shape == (2, 3)
    np.testing.assert_allclose(logits, h @ last["kernel"] + last["bias"][None], rtol=1e-4, atol=1e-5)


def test_a_spatial_skip_is_a_convolution():
    """With its centre alone a kernel is the 1x1 skip; with its left neighbour alone the skip is moved to the right."""
    x, emb = jnp.linspace(-1, 1, 2 * 16 * 32).reshape(2, 4, 4, 32), jnp.ones((2, 4))
    block, plain = ResBlock(64, spatial_skip=True), ResBlock(64)
    params = jax.jit(plain.init)(quick_keys.key(), x, emb)["params"]
    matrix, bias = params["skip_connection"]["kernel"], params["skip_connection"]["bias"]
    kernels = jnp.zeros((2, 3, 3, 32, 64)).at[0, 1, 1].set(matrix[0, 0]).at[1, 1, 0].set(matrix[0, 0])
    run = lambda kernel: block.apply(  # noqa: E731
        {"params": params | {"skip_connection": {"kernel": kernel, "bias": bias}}}, x, emb
    )
    centre, left = jax.jit(jax.vmap(run))(kernels)
    np.testing.assert_allclose(centre, jax.jit(plain.apply)({"params": params}, x, emb), atol=1e-5)
    moved = jnp.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
    np.testing.assert_allclose(left - centre, (moved - x) @ matrix[0, 0], atol=1e-5)
    same = jax.eval_shape(ResBlock(32, spatial_skip=True).init, jax.random.key(0), x, emb)
    assert "skip_connection" not in same["params"], "nothing is convolved where the channels stay"


@pytest.mark.parametrize(
    ("net", "x", "given", "says"),
    [
        (small(img_resolution=9), (2, 9, 9, 1), {}, "img_resolution=9 must be divisible by 2"),
        (small(model_channels=48), (2, 8, 8, 1), {}, "multiple of 32, the groups of norm, got 48"),
        (small(num_heads=5), (2, 8, 8, 1), {}, "cannot split 32 channels into 5 heads"),
        (small(head_channels=20), (2, 8, 8, 1), {}, "head_channels=20 must divide"),
        (small(dropout=1.0), (2, 8, 8, 1), {}, "dropout must be in"),
        (small(), (2, 8, 8, 3), {}, "x must be"),
        (small(), (2, 8, 8, 1), {"class_labels": jnp.zeros((2, 3))}, "class_labels were given"),
        (small(label_dim=4), (2, 8, 8, 1), {"class_labels": jnp.zeros((2, 3))}, "class_labels must be"),
        (small(), (2, 8, 8, 1), {"low_res": jnp.zeros((2, 4, 4, 1))}, "low_res was given"),
        (small(super_resolution=True), (2, 8, 8, 1), {}, "low_res must be"),
        (small(super_resolution=True), (2, 8, 8, 1), {"low_res": jnp.zeros((2, 4, 4, 3))}, "low_res must be"),
        (GuidedClassifier(8, 1, 3, 32, (1, 1), pool="mean"), (2, 8, 8, 1), {}, "pool must be one of"),
    ],
)
def test_shapes_are_checked_before_compilation(net, x, given, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros(x), jnp.zeros(2), **given))
