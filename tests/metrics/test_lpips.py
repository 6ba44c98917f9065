"""LPIPS against SciPy's correlation in plain loops, its identities, its gradient, and what it refuses."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from jaxdiff.metrics.lpips import SCALE, SHIFT, lpips
from jaxdiff.nets.features.vgg import VGG16

NET = VGG16(widths=(4, 5, 6, 7, 8))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet, for images in [0, 1]


def random_params(net=NET, seed=0):
    """Weights that keep the size of activations, and some that are zero."""
    random, channels = np.random.default_rng(seed), 3
    layers, index = {}, 0
    for level, (width, depth) in enumerate(zip(net.widths, net.depths, strict=True)):
        index += level > 0
        for _ in range(depth):
            kernel = random.normal(size=(3, 3, channels, width)) * np.sqrt(2 / (9 * channels))
            layers[f"features_{index}"] = {"kernel": kernel, "bias": 0.1 * random.normal(size=width)}
            channels, index = width, index + 2
    linear = [np.maximum(random.normal(size=width), 0) for width in net.widths]
    return jax.tree.map(jnp.asarray, {"vgg": {"params": layers}, "linear": linear})


def images(shape=(2, 35, 32, 3), seed=1, dtype=np.float64):
    return [jnp.asarray(a, dtype) for a in np.random.default_rng(seed).uniform(-1, 1, (2, *shape))]


def by_loops(params, x, y, reduce):
    """One pair of images [H, W, 3], channel by channel."""
    layers, levels = params["vgg"]["params"], []
    for image in (np.asarray(x), np.asarray(y)):
        f, found, index = ((image + 1) / 2 - MEAN) / STD, [], 0
        for level, depth in enumerate(NET.depths):
            if level:
                height, width = f.shape[0] // 2, f.shape[1] // 2
                f = reduce(f[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1), axis=(1, 3))
                index += 1
            for _ in range(depth):
                kernel, bias = (np.asarray(layers[f"features_{index}"][name]) for name in ("kernel", "bias"))
                f = np.stack(
                    [
                        sum(
                            signal.correlate(f[:, :, i], kernel[:, :, i, o], mode="same") for i in range(f.shape[2])
                        ) + bias[o]
                        for o in range(len(bias))
                    ], axis=-1,
                )  # fmt: skip
                f, index = np.maximum(f, 0), index + 2
            found.append(f / (np.linalg.norm(f, axis=-1, keepdims=True) + 1e-10))
        levels.append(found)
    return sum(
        np.mean(np.sum(np.asarray(w) * (f - g) ** 2, axis=-1))
        for w, f, g in zip(params["linear"], *levels, strict=True)
    )


@pytest.mark.parametrize(("pool", "reduce"), [(nn.max_pool, np.max), (nn.avg_pool, np.mean)], ids=["max", "mean"])
def test_equals_loops_over_channels(pool, reduce, x64):
    params, (x, y) = random_params(), images()
    net = VGG16(widths=NET.widths, pool=pool)
    expected = [by_loops(params, a, b, reduce) for a, b in zip(x, y, strict=True)]
    assert min(expected) > 0.01
    distance = jax.jit(lambda params, x, y: lpips(params, x, y, net))(params, x, y)
    np.testing.assert_allclose(distance, expected, rtol=1e-11)


def test_float32():
    params, (x, y) = random_params(), images(dtype=np.float32)
    expected = [by_loops(params, a, b, np.max) for a, b in zip(x, y, strict=True)]
    distance = jax.jit(lambda params, x, y: lpips(params, x, y, NET))(params, x, y)
    assert distance.dtype == jnp.float32
    np.testing.assert_allclose(distance, expected, rtol=2e-5)


def test_images_are_standardised_as_imagenet_s():
    """2 mean - 1 and 2 std are the published constants exactly."""
    np.testing.assert_allclose(SHIFT, 2 * MEAN - 1, atol=1e-12)
    np.testing.assert_allclose(SCALE, 2 * STD, atol=1e-12)


def test_resizing_is_linear_interpolation_between_pixel_centres(x64):
    params, (x, y) = random_params(), images((2, 10, 12, 3))

    def resized(image):
        for axis in (1, 2):
            size = image.shape[axis]
            at = (np.arange(32) + 0.5) * size / 32 - 0.5
            image = np.apply_along_axis(lambda a, at=at, size=size: np.interp(at, np.arange(size), a), axis, image)
        return jnp.asarray(image)

    run = jax.jit(lpips, static_argnums=(3, 4))
    np.testing.assert_allclose(run(params, x, y, NET, 32), run(params, resized(x), resized(y), NET), rtol=1e-11)


def test_identities(x64):
    """0 for an image and itself, symmetric, linear in the weights, blind to the scale of the last activation."""
    params, (x, y) = random_params(), images()
    run = jax.jit(lambda params, x, y: lpips(params, x, y, NET))
    distance = run(params, x, y)
    # XLA may fuse the two passes differently: the square of a rounding remains.
    np.testing.assert_allclose(run(params, x, x), np.zeros(2), atol=1e-28)
    np.testing.assert_allclose(run(params, y, x), distance, rtol=1e-12)
    doubled = {**params, "linear": [2 * w for w in params["linear"]]}
    np.testing.assert_allclose(run(doubled, x, y), 2 * distance, rtol=1e-12)
    layers = dict(params["vgg"]["params"])
    layers["features_28"] = jax.tree.map(lambda a: 3 * a, layers["features_28"])
    np.testing.assert_allclose(run({**params, "vgg": {"params": layers}}, x, y), distance, rtol=1e-8)


def test_gradient(x64):
    """The slope along a direction is a difference quotient's, and 0 where the images are the same."""
    params, (x, y) = random_params(), images((1, 16, 16, 3))
    both = jax.jit(jax.value_and_grad(lambda x, params: lpips(params, x, y, NET)[0]))
    total, gradient = (lambda x: both(x, params)[0]), (lambda x: both(x, params)[1])
    direction = jnp.asarray(np.random.default_rng(2).normal(size=x.shape))
    slope = jnp.vdot(gradient(x), direction)
    step = 1e-7
    quotient = (total(x + step * direction) - total(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, quotient, rtol=1e-5)
    np.testing.assert_allclose(gradient(y), np.zeros(y.shape), atol=1e-13 * np.abs(gradient(x)).max())


def test_gradient_is_finite_where_activations_are_dead():
    """All channels of all levels are 0: the norm has no slope there."""
    params, (x, y) = random_params(), images((1, 16, 16, 3), dtype=np.float32)
    layers = {
        name: {"kernel": layer["kernel"], "bias": jnp.full_like(layer["bias"], -100.0)}
        for name, layer in params["vgg"]["params"].items()
    }
    dead = {**params, "vgg": {"params": layers}}
    value, gradient = jax.jit(jax.value_and_grad(lambda x, params: lpips(params, x, y, NET)[0]))(x, dead)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros(x.shape))


@pytest.mark.parametrize("params", [None, {}, {"vgg": {}}, "vgg16.pth"])
def test_without_weights_there_is_no_distance(params):
    with pytest.raises(ValueError, match=r"LPIPS needs the weights .*load_lpips\(vgg, linear\)"):
        lpips(params, jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 16, 16, 3)))


@pytest.mark.parametrize(
    ("x", "y", "options", "says"),
    [
        ((1, 16, 16, 1), (1, 16, 16, 1), {}, r"x and y must be \[B, H, W, 3\] of one shape"),
        ((2, 16, 16, 3), (1, 16, 16, 3), {}, "of one shape"),
        ((1, 8, 8, 3), (1, 8, 8, 3), {}, "H and W 16 or more unless side is given"),
        ((16, 16, 3), (16, 16, 3), {}, r"must be \[B, H, W, 3\]"),
        ((1, 8, 8, 3), (1, 8, 8, 3), {"side": 15}, "side must be 16 or more, got 15"),
        ((1, 16, 16, 3), (1, 16, 16, 3), {"net": VGG16()}, r"params\['linear'\] must have the shapes \[\[64\], "),
    ],
)
def test_shapes_are_checked(x, y, options, says):
    with pytest.raises(ValueError, match=says):
        lpips(random_params(), jnp.zeros(x), jnp.zeros(y), **{"net": NET, **options})
