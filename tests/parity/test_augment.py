"""The augmentation equals EDM's recorded runs: matrices, margins, labels and images, from the recorded draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.augment import Config, Draw, Draws, apply, batch_margins, label_dim
from jaxdiff.augment.blit import blit
from jaxdiff.augment.color import color_matrix
from jaxdiff.augment.geometry import has_geometry, inverse_matrix
from jaxdiff.augment.resample import warp
from tests.support import reference
from tests.support.tiers import by, first_of_a_kind

READS = ("edm/augment_*.npz",)

CASES = [(path, case) for path in reference.files(*READS) for case in reference.cases(reference.load(path))]
each_case = pytest.mark.parametrize(("path", "case"), CASES, ids=[f"{path.stem}-{case}" for path, case in CASES])


def read(path, case, dtype):
    """Config, draws, images (NHWC) and every other recorded array of a case."""
    arrays = reference.load(path)
    recorded = reference.config(arrays, case)
    assert recorded["kind"] == "augment"
    arrays = reference.subset(arrays, case)
    images = jnp.asarray(nhwc(arrays["in/images"]), dtype)
    items: dict[str, dict[str, jax.Array]] = {}
    for name, value in arrays.items():
        if name.startswith("draw/"):
            _, transform, item = name.split("/")
            # Recorded shapes carry axes of size one; translations lead with (x, y).
            pair = transform.startswith("translate") and item == "w"
            flat = value.reshape(2, -1).T if pair else value.reshape(-1)
            items.setdefault(transform, {})[item] = jnp.asarray(flat, None if flat.dtype.kind == "i" else dtype)
    return Config(**recorded["kwargs"]), Draws(**{k: Draw(**v) for k, v in items.items()}), images, arrays


def nhwc(images):
    return images.transpose(0, 2, 3, 1)


def assert_close(actual, expected, tolerance):
    """Deviation relative to the largest magnitude."""
    scale = max(np.abs(expected).max(), 1e-300)
    np.testing.assert_array_less(np.abs(np.asarray(actual) - expected).max(), tolerance * scale + 1e-300)


@each_case
def test_images_and_labels(path, case, x64):
    config, draws, images, arrays = read(path, case, jnp.float64)
    margins = None
    if has_geometry(config):
        # The reference pads by what the batch needs; ours by the most there can be unless given.
        margins = batch_margins(inverse_matrix(config, draws, *images.shape[1:3], images.dtype)[0], *images.shape[1:3])
    out, labels = apply(config, draws, images, margins=margins)
    assert labels.shape == (len(images), label_dim(config))
    assert_close(out, nhwc(arrays["out/images"]), 1e-10)
    assert_close(labels, arrays["out/labels"], 1e-10)


@each_case
def test_intermediate_values(path, case, x64):
    config, draws, images, arrays = read(path, case, jnp.float64)
    size = images.shape[1:3]
    if "mid/G_inv" in arrays:
        matrix, _ = inverse_matrix(config, draws, *size, images.dtype)
        assert_close(matrix, arrays["mid/G_inv"], 1e-12)
    if "mid/margins" in arrays:
        np.testing.assert_array_equal(batch_margins(matrix, *size), arrays["mid/margins"])
    if "mid/M_color" in arrays:
        assert_close(color_matrix(config, draws, images.dtype)[0], arrays["mid/M_color"], 1e-12)
    if "mid/images_after_blit" in arrays:
        images, _ = blit(config, draws, images)
        assert_close(images, nhwc(arrays["mid/images_after_blit"]), 1e-7)  # recorded in float32
    if "mid/images_after_geometry" in arrays:
        images = warp(matrix, images, jnp.asarray(arrays["mid/margins"], images.dtype))
        assert_close(images, nhwc(arrays["mid/images_after_geometry"]), 1e-7)


@pytest.mark.parametrize(
    ("path", "case"),
    first_of_a_kind(CASES, by("kind")),
    ids=[f"{path.stem}-{case}" for path, case in CASES],
)
def test_float32(path, case):
    config, draws, images, arrays = read(path, case, jnp.float32)
    margins = jnp.asarray(arrays["mid/margins"], jnp.float32) if "mid/margins" in arrays else None
    out, labels = apply(config, draws, images, margins=margins)
    assert out.dtype == labels.dtype == jnp.float32
    assert_close(out, nhwc(arrays["out/images"]), 2e-5)
    assert_close(labels, arrays["out/labels"], 2e-5)
