"""The VDM score network: how it starts, its types, and what it refuses; its values are in tests/parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.unet.vdm import VDMUNet, base2_fourier
from tests.support import quick_keys


def small(**kwargs):
    options = {"img_resolution": 4, "in_channels": 1, "model_channels": 32, "num_blocks": 1, "dropout": 0.0}
    return VDMUNet(**{**options, **kwargs})


X = jax.random.normal(jax.random.key(1), (2, 4, 4, 1))
GAMMA = jnp.array([-13.3, 5.0])


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_it_starts_as_the_identity_with_float32_parameters_and_output(dtype):
    net = small(dtype=dtype, label_dim=2, augment_dim=3, attention=True)
    params = jax.jit(net.init)(quick_keys.key(), X, GAMMA)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    out = jax.jit(net.apply)(params, X, GAMMA)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, X)


def test_noise_and_label_of_one_example_do_not_touch_another():
    net = small(label_dim=2)
    params = jax.tree.map(lambda a: a + 0.05, jax.jit(net.init)(jax.random.key(0), X, GAMMA))
    run = jax.jit(net.apply)
    labels = jnp.eye(2)
    both = run(params, X, GAMMA, labels)
    for i in range(2):
        alone = run(params, X[i : i + 1], GAMMA[i], labels[i : i + 1])
        np.testing.assert_allclose(both[i : i + 1], alone, atol=1e-4)
    assert not np.allclose(both, run(params, X, GAMMA, labels[::-1]))
    np.testing.assert_array_equal(run(params, X, GAMMA), run(params, X, GAMMA, jnp.zeros((1, 2))))


def test_fourier_features_tell_neighbouring_levels_apart():
    """256 grey values lie 1/128 apart: k = 6 turns by half a period between neighbours, k = 7 by a whole one."""
    grey = ((2 * jnp.arange(4) + 1) / 256 - 1).reshape(1, 1, 4, 1)
    np.testing.assert_allclose(base2_fourier(grey, (6,))[0, 0, :, 0], [1, -1, 1, -1], atol=1e-3)
    np.testing.assert_allclose(base2_fourier(grey, (7,))[0, 0, :, 1], [-1, -1, -1, -1], atol=1e-3)
    assert base2_fourier(jnp.zeros((1, 1, 1, 3)), (6, 7)).shape == (1, 1, 1, 12)


@pytest.mark.parametrize(
    ("net", "kwargs", "says"),
    [
        (small(model_channels=48), {}, "model_channels must be a multiple of 32"),
        (small(gamma_min=5.0), {}, "gamma_min must be below gamma_max"),
        (small(in_channels=3), {}, "x must be"),
        (small(label_dim=2), {"class_labels": jnp.zeros((2, 3))}, "class_labels must be"),
        (small(), {"augment_labels": jnp.zeros((2, 9))}, "augment_labels were given"),
    ],
)
def test_shapes_are_checked_before_compilation(net, kwargs, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda: net.init(jax.random.key(0), X, GAMMA, **kwargs))
