"""Filters that change the resolution, against NumPy's convolution."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.convolution import resampling_layer
from jaxdiff.nets.resampling import convolution_taps, resample, upfirdn


def test_filter_is_a_convolution():
    x = np.random.default_rng(0).standard_normal((1, 7, 1, 1)).astype(np.float32)
    full = np.convolve(x[0, :, 0, 0], [1, 2, 4])
    np.testing.assert_allclose(upfirdn(jnp.asarray(x), [1, 2, 4], 1, 1, 1, (2, 2))[0, :, 0, 0], full, rtol=1e-5)
    np.testing.assert_allclose(upfirdn(jnp.asarray(x), [1, 2, 4], 1, 1, 2, (2, -1))[0, :, 0, 0], full[:-3:2], rtol=1e-5)


def test_a_filter_of_two_dimensions():
    """Ones in a corner alone shift the image; a separable filter is one of each axis."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 5, 6, 2)), jnp.float32)
    shifted = upfirdn(x, [[0, 0], [1, 0], [0, 0]], (1, 2), 1, 1, (2, 2))
    np.testing.assert_array_equal(shifted[:, 1:6, 1:7], x)
    rows, columns = [1, 2, 4], [3, -1]
    apart = upfirdn(upfirdn(x, rows, 1, 2, 3, (3, 1)), columns, 2, 2, 3, (3, 1))
    np.testing.assert_allclose(upfirdn(x, np.outer(rows, columns), (1, 2), 2, 3, (3, 1)), apart, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"one dimension for each of the axes 1, got \(3, 2\)"):
        upfirdn(x, np.outer(rows, columns), 1, 1, 1, (0, 0))


@pytest.mark.parametrize("direction", ["up", "down"])
def test_orientation_of_filters(direction):
    """By `convolution_taps` a filter is a true convolution in both directions; else downwards a correlation."""
    taps, x = [1, 2, 4, 3], np.random.default_rng(0).standard_normal(8)
    spread = np.stack([x, np.zeros(8)], 1).ravel() if direction == "up" else x
    stride, centred, gain = (1, slice(1, -2), 2) if direction == "up" else (2, slice(2, -2), 1)
    image = jnp.asarray(np.outer(x, np.ones(8)), jnp.float32)[None, :, :, None]  # columns of ones stay ones inside
    for filtered, turned in (
        (convolution_taps(taps, direction), taps),
        (taps, taps if direction == "up" else taps[::-1]),
    ):
        rows = gain * np.convolve(spread, np.divide(turned, 10))[centred][::stride]
        np.testing.assert_allclose(resample(image, filtered, direction)[0, :, 2, 0], rows, rtol=1e-5)


def test_up_sampling_with_no_filter_is_nearest_neighbours():
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 1)).astype(np.float32)
    np.testing.assert_array_equal(resample(jnp.asarray(x), (1, 1), "up"), x.repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize("taps", [None, (1, 3, 3, 1), (1, 2, 4, 3)], ids=str)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_convolution_that_does_nothing_leaves_the_filter(direction, taps):
    """With kernels that are 1 in the middle, or the mean of 2x2 where the convolution has a stride."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 6, 6, 2)), jnp.float32)
    kernel = np.zeros((3, 3))
    if taps is None and direction == "down":
        kernel[:2, :2] = 0.25
    else:
        kernel[1, 1] = 1
    params = {
        "params": {"kernel": jnp.asarray(kernel[:, :, None, None] * np.eye(2), jnp.float32), "bias": jnp.zeros(2)}
    }
    filtered = resampling_layer(2, direction, taps, False, None, "alone")(x)
    convolved = resampling_layer(2, direction, taps, True, None, "alone").apply(params, x)
    np.testing.assert_allclose(convolved, filtered, rtol=1e-5, atol=1e-6)
    plain = x.repeat(2, 1).repeat(2, 2) if direction == "up" else x.reshape(1, 3, 2, 3, 2, 2).mean((2, 4))
    if taps is None:
        np.testing.assert_allclose(filtered, plain, rtol=1e-5, atol=1e-6)
