"""Features of many images: batches, the last one, the scores' missing bias, and several devices."""

import jax
import numpy as np
import pytest

from jaxdiff.interop.inception import inception_params
from jaxdiff.metrics.inception import extractor
from jaxdiff.train import sharding
from tests.support.commands import python
from tests.support.inception_file import IMAGES, NET, published


@pytest.fixture(scope="module")
def params():
    return inception_params(published())


@pytest.fixture(scope="module")
def extract(params):
    return extractor(params, NET, batch_size=4)


def test_batches_are_those_of_the_network(params, extract):
    got = extract(IMAGES)
    assert (got.pool.shape, got.scores.shape) == ((7, 2048), (7, 1008))
    assert got.pool.dtype == got.scores.dtype == np.float32
    whole = jax.jit(NET.apply)(params, IMAGES)
    size = np.abs(whole.features).max()
    np.testing.assert_allclose(got.pool, whole.features, rtol=0, atol=1e-5 * size)
    unbiased = got.pool.astype(np.float64) @ np.asarray(params["params"]["fc"]["kernel"], np.float64)
    np.testing.assert_allclose(got.scores, unbiased, rtol=0, atol=1e-5 * np.abs(unbiased).max())
    np.testing.assert_allclose(extract(IMAGES[5:6]).pool, got.pool[5:6], rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (IMAGES.astype(np.float32), "must be a NumPy array of uint8, 0 .. 255, got float32"),
        (IMAGES.astype(np.int64), "got int64"),
        ([[0]], "must be a NumPy array of uint8"),
        (IMAGES[..., :2], r"must be \[N, H, W, 1 or 3\] and not empty, got \[7, 9, 10, 2\]"),
        (IMAGES[0], r"got \[9, 10, 3\]"),
        (IMAGES[:0], r"got \[0, 9, 10, 3\]"),
    ],
)
def test_images_are_checked(images, says, extract):
    with pytest.raises(ValueError, match=says):
        extract(images)


@pytest.mark.parametrize("batch_size", [0, -4])
def test_batch_size_is_checked(batch_size, params):
    with pytest.raises(ValueError, match=f"batch_size={batch_size} must be a positive multiple of the 1 devices"):
        extractor(params, NET, batch_size)


def test_one_device_as_a_mesh(params, extract):
    over = extractor(params, NET, 4, sharding.batch_sharding(sharding.data_mesh()))
    for ours, plain in zip(over(IMAGES), extract(IMAGES), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-5 * np.abs(plain).max())


FOUR = """
import numpy as np, jax
from jaxdiff.interop.inception import inception_params
from jaxdiff.metrics.inception import extractor
from jaxdiff.train import sharding
from tests.support.inception_file import IMAGES, NET, published
params, mesh = inception_params(published()), sharding.data_mesh()
assert mesh.size == 4
try:
    extractor(params, NET, 6, sharding.batch_sharding(mesh))
except ValueError as error:
    assert "batch_size=6 must be a positive multiple of the 4 devices" in str(error)
one, four = extractor(params, NET, 4)(IMAGES), extractor(params, NET, 4, sharding.batch_sharding(mesh))(IMAGES)
for a, b in zip(one, four):
    np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * np.abs(a).max())
print("same on", jax.device_count())
"""


@pytest.mark.full
def test_four_devices():
    done = python("-c", FOUR, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    assert done.stdout == "same on 4\n", done.stderr
