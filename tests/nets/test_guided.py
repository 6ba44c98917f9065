"""The U-Net of improved DDPM and ADM: sizes of the papers, types, dropout, and what it refuses."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import ddpm_cifar
from jaxdiff.nets.classifier import GuidedClassifier
from jaxdiff.nets.unet_guided import GuidedUNet
from tests.support import quick_keys


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
        (GuidedClassifier(8, 1, 3, 32, (1, 1), pool="spatial"), (2, 8, 8, 1), {}, "pool must be one of"),
    ],
)
def test_shapes_are_checked_before_compilation(net, x, given, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros(x), jnp.zeros(2), **given))
