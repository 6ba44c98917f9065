"""InceptionV3 against NumPy in float64, written from the published layout (NCHW, by name): no torch is at hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.inception import inception_params
from jaxdiff.nets.features.inception import SIDE, InceptionV3, tensorflow_input
from tests.support.inception_file import published

SMALL = 139  # leaves 3x3 in the last blocks, where kinds of pooling differ


@cache
def state():
    return published()


@cache
def params():
    return inception_params(state())


@cache
def images():
    return np.random.default_rng(1).integers(0, 256, (2, 24, 31, 3), dtype=np.uint8)


def windows(x, kernel, stride, pad, value):
    """[N, C, H', W', kh, kw] of x [N, C, H, W]."""
    x = np.pad(x, ((0, 0), (0, 0), (pad[0], pad[0]), (pad[1], pad[1])), constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))[:, :, ::stride, ::stride]


def conv(x, name, stride=1, pad=None):
    """Convolution, batch norm, ReLU: sums over windows."""
    get = lambda part: state()[f"{name}.{part}"].astype(np.float64)  # noqa: E731
    w = get("conv.weight")
    pad = tuple(k // 2 for k in w.shape[2:]) if pad is None else (pad, pad)
    y = np.tensordot(windows(x, w.shape[2:], stride, pad, 0.0), w, ((1, 4, 5), (1, 2, 3)))  # [N, H, W, O]
    y = (y - get("bn.running_mean")) / np.sqrt(get("bn.running_var") + 0.001) * get("bn.weight") + get("bn.bias")
    return np.maximum(y, 0).transpose(0, 3, 1, 2)


def chain(x, *names):
    for name in names:
        x = conv(x, name)
    return x


def mean(x):
    """Of the neighbours inside: their sum by their number."""
    total, number = (windows(a, (3, 3), 1, (1, 1), 0.0).sum(axis=(4, 5)) for a in (x, np.ones_like(x[:1, :1])))
    return total / number


def largest(x, stride=1, pad=1):
    return windows(x, (3, 3), stride, (pad, pad), -np.inf).max(axis=(4, 5))


def trunk(x):
    """x [N, 3, side, side] up to Mixed_7a."""
    x = conv(x, "Conv2d_1a_3x3", 2, 0)
    x = conv(x, "Conv2d_2a_3x3", 1, 0)
    x = largest(conv(x, "Conv2d_2b_3x3"), 2, 0)
    x = conv(x, "Conv2d_3b_1x1")
    x = largest(conv(x, "Conv2d_4a_3x3", 1, 0), 2, 0)
    for b in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        five = chain(x, f"{b}.branch5x5_1", f"{b}.branch5x5_2")
        three = chain(x, f"{b}.branch3x3dbl_1", f"{b}.branch3x3dbl_2", f"{b}.branch3x3dbl_3")
        pooled = conv(mean(x), f"{b}.branch_pool")
        x = np.concatenate([conv(x, f"{b}.branch1x1"), five, three, pooled], axis=1)
    b = "Mixed_6a"
    double = conv(chain(x, f"{b}.branch3x3dbl_1", f"{b}.branch3x3dbl_2"), f"{b}.branch3x3dbl_3", 2, 0)
    x = np.concatenate([conv(x, f"{b}.branch3x3", 2, 0), double, largest(x, 2, 0)], axis=1)
    for b in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        seven = chain(x, *(f"{b}.branch7x7_{k}" for k in (1, 2, 3)))
        double = chain(x, *(f"{b}.branch7x7dbl_{k}" for k in (1, 2, 3, 4, 5)))
        pooled = conv(mean(x), f"{b}.branch_pool")
        x = np.concatenate([conv(x, f"{b}.branch1x1"), seven, double, pooled], axis=1)
    b = "Mixed_7a"
    three = conv(conv(x, f"{b}.branch3x3_1"), f"{b}.branch3x3_2", 2, 0)
    seven = chain(x, *(f"{b}.branch7x7x3_{k}" for k in (1, 2, 3)))
    return np.concatenate([three, conv(seven, f"{b}.branch7x7x3_4", 2, 0), largest(x, 2, 0)], axis=1)


def head(x, pools):
    """Mixed_7b and Mixed_7c with these poolings, features and logits."""
    for b, pool in zip(("Mixed_7b", "Mixed_7c"), pools, strict=True):
        three = conv(x, f"{b}.branch3x3_1")
        double = chain(x, f"{b}.branch3x3dbl_1", f"{b}.branch3x3dbl_2")
        forks = [conv(three, f"{b}.branch3x3_2{part}") for part in "ab"]
        forks += [conv(double, f"{b}.branch3x3dbl_3{part}") for part in "ab"]
        x = np.concatenate([conv(x, f"{b}.branch1x1"), *forks, conv(pool(x), f"{b}.branch_pool")], axis=1)
    features = x.mean(axis=(2, 3))
    return features, features @ state()["fc.weight"].T.astype(np.float64) + state()["fc.bias"]


@cache
def reference(side, last=largest):
    return head(trunked(side), (mean, last))


@cache
def trunked(side):
    return trunk(prepared(images().astype(np.float64), side))


def prepared(x, side):
    """TensorFlow 1's resize pixel by pixel: in = out * size / side, blending floor and floor + 1, which is clipped."""
    out = np.empty((len(x), 3, side, side))
    for i in range(side):
        y = i * x.shape[1] / side
        for j in range(side):
            z = j * x.shape[2] / side
            (top, left), (bottom, right) = (
                (int(y), int(z)),
                (min(int(y) + 1, len(x[0]) - 1), min(int(z) + 1, len(x[0, 0]) - 1)),
            )
            a, b = y - top, z - left
            above = (1 - b) * x[:, top, left] + b * x[:, top, right]
            below = (1 - b) * x[:, bottom, left] + b * x[:, bottom, right]
            out[:, :, i, j] = ((1 - a) * above + a * below - 128) / 128
    return out


def compare(side):
    got = jax.jit(InceptionV3(side=side).apply)(params(), images())
    features, logits = reference(side)
    assert got.features.dtype == got.logits.dtype == jnp.float32
    for ours, exact in zip(got, (features, logits), strict=True):
        assert exact.std() > 0.05  # otherwise nothing would be compared
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-4 * np.abs(exact).max())
        assert np.abs(exact[0] - exact[1]).max() > 0.01 * np.abs(exact).max()


def test_features_and_logits_equal_the_reference():
    compare(SMALL)


@pytest.mark.full
def test_features_and_logits_equal_the_reference_at_full_size():
    compare(SIDE)


def test_the_last_pooling_shows():
    """Torchvision's mean in Mixed_7c, which the graph has not, would be far outside the tolerance."""
    graph, torchvision = reference(SMALL)[0], reference(SMALL, mean)[0]
    assert np.abs(graph - torchvision).max() > 0.1 * np.abs(graph).max()


@pytest.mark.full
def test_float64_is_exact(x64):
    """Nothing but rounding lies between the two."""
    wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params())
    features, logits = reference(SMALL)
    got = jax.jit(InceptionV3(side=SMALL).apply)(wide, images().astype(np.float64))
    np.testing.assert_allclose(got.features, features, rtol=0, atol=1e-11 * np.abs(features).max())
    np.testing.assert_allclose(got.logits, logits, rtol=0, atol=1e-11 * np.abs(logits).max())


def test_the_number_of_parameters():
    """torchvision's 21,785,568 below the matrix, with as many means and variances as Keras calls not trainable."""
    leaves = jax.tree_util.tree_leaves_with_path(params()["params"])
    running = sum(a.size for path, a in leaves if path[-1].key in ("mean", "var"))
    matrix = sum(a.size for path, a in leaves if path[0].key == "fc")
    assert (running, matrix) == (34_432, 1008 * 2049)
    assert sum(a.size for _, a in leaves) - running - matrix == 21_785_568


@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (2, 8, 8, 1), (1, 40, 17, 3), (1, 300, 301, 3), (1, 299, 299, 3)])
def test_the_graph_s_resize(shape):
    x = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    exact = prepared(np.broadcast_to(x, (*shape[:3], 3)).astype(np.float64), 97)[:, : shape[3]]
    np.testing.assert_allclose(tensorflow_input(x, 97), exact.transpose(0, 2, 3, 1), rtol=0, atol=1e-6)


def test_the_right_size_is_left_as_it_is():
    x = np.random.default_rng(2).integers(0, 256, (1, 75, 75, 3), dtype=np.uint8)
    np.testing.assert_array_equal(tensorflow_input(x, 75), (x.astype(np.float32) - 128) / 128)


@pytest.mark.parametrize("size", [8, 32, 300])
def test_the_graph_s_resize_is_not_that_of_pixel_centres(size):
    """pytorch-fid interpolates between pixel centres: another image than the graph's, hence other FIDs."""
    x = np.random.default_rng(3).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    at, centred = (np.arange(99) + 0.5) * size / 99 - 0.5, x.astype(np.float64)
    for axis in (1, 2):
        centred = np.apply_along_axis(lambda a: np.interp(at, np.arange(size), a), axis, centred)
    assert np.abs(centred / 127.5 - 1 - tensorflow_input(x, 99)).max() > 0.1


def test_grey_is_repeated_and_floats_are_taken():
    grey = images()[:1, ..., :1]
    net = jax.jit(InceptionV3(side=75).apply)
    expected = net(params(), np.repeat(grey, 3, axis=-1)).features
    np.testing.assert_allclose(net(params(), grey).features, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(net(params(), grey.astype(np.float32)).features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "side", "says"),
    [
        ((8, 8, 3), 75, r"images must be \[B, H, W, 1 or 3\] and not empty, got \[8, 8, 3\]"),
        ((1, 8, 8, 2), 75, r"got \[1, 8, 8, 2\]"),
        ((0, 8, 8, 3), 75, "and not empty"),
        ((1, 8, 8, 3), 74, "side must be 75 or more, got 74"),
    ],
)
def test_shapes_are_checked(shape, side, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(InceptionV3(side=side).init, jax.random.key(0), jnp.zeros(shape, jnp.uint8))
