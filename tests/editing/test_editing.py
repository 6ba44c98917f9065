"""Zero-shot editing of Gaussians, whose answer has a closed form; the bases; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import editing, grids
from jaxdiff.editing import linear_measurement, slerp
from jaxdiff.samplers import consistency, heun, impute, sample, time_points
from tests.samplers.table import gaussian_consistency
from tests.support.colour_basis import colour_basis

SHAPE = (4, 8, 3)
F = gaussian_consistency(0.002)(0.2, 0.3)
SIGMAS = time_points([20.0, 2.0, 0.3])
OBSERVED = {
    "pixels": editing.pixels(np.arange(96).reshape(SHAPE) % 3 > 0),
    "grey": editing.grey(SHAPE),
    "patches_2": editing.patch_means(SHAPE, 2),
    "patches_4": editing.patch_means(SHAPE, 4),
}
what = pytest.mark.parametrize("part", OBSERVED.values(), ids=OBSERVED)


def images(num, seed=0):
    return jax.random.uniform(jax.random.key(seed), (num, *SHAPE), minval=-1.0)


def edit(part, image, f=F, sigmas=SIGMAS):
    x = editing.degrade(part, image) + sigmas[0] * jax.random.normal(jax.random.key(1), image.shape, image.dtype)
    run = jax.jit(lambda x, key: sample(consistency(), editing.project_x0(f, part, image), x, sigmas, key=key))
    return run(x, jax.random.key(2))


@pytest.mark.parametrize(
    "first", [editing.LUMINANCE, np.ones(4), np.ones(16), np.ones(64), -np.arange(3.0), [1.0], [0.0, 2.0], [-1e-9, 1.0]]
)
def test_bases_are_orthogonal(first):
    """The product in more digits: a sum of 64 float64 terms is itself off by 3e-15."""
    basis = editing.orthogonal(first)
    long = basis.astype(np.longdouble)
    np.testing.assert_allclose(long @ long.T, np.eye(len(first)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(basis[:, 0], np.asarray(first) / np.linalg.norm(first), rtol=0, atol=1e-15)


def test_the_basis_of_colours_is_orthogonal():
    basis = colour_basis()
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), rtol=0, atol=1e-15)


@what
def test_coordinates_are_orthogonal_and_invertible(part, x64):
    """A preserves inner products, and its inverse gives the image back."""
    x, y = images(3).astype(jnp.float64), images(3, seed=1).astype(jnp.float64)
    np.testing.assert_allclose(part.inverse(part.transform(x)), x, rtol=0, atol=1e-14)
    np.testing.assert_allclose(jnp.sum(part.transform(x) * part.transform(y)), jnp.sum(x * y), rtol=1e-13)


@what
def test_replacing_is_a_projection(part, x64):
    x, y = images(3).astype(jnp.float64), images(3, seed=1).astype(jnp.float64)
    mixed = editing.replace(part, x, y)
    np.testing.assert_allclose(editing.replace(part, mixed, y), mixed, rtol=0, atol=1e-14)
    np.testing.assert_allclose(editing.replace(part, mixed, x), x, rtol=0, atol=1e-14)
    np.testing.assert_allclose(editing.degrade(part, mixed), editing.degrade(part, y), rtol=0, atol=1e-14)
    assert float(jnp.abs(mixed - x).max()) > 0.1
    assert float(jnp.abs(mixed - y).max()) > 0.1


def test_observed_pixels_come_back_exactly_and_hidden_ones_are_sampled():
    """Of independent pixels the hidden ones keep their own mean and variance, within 4 standard errors."""
    num, shown = 400, np.asarray(OBSERVED["pixels"].mask)
    image = jnp.where(shown, images(num), jnp.nan)
    out = np.asarray(edit(OBSERVED["pixels"], image), np.float64)
    np.testing.assert_array_equal(out[:, shown], np.asarray(image)[:, shown])
    hidden = out[:, ~shown]
    assert abs(hidden.mean() - 0.2) < 4 * np.sqrt(0.3 / hidden.size)
    assert abs(hidden.var() - 0.3) < 4 * 0.3 * np.sqrt(2 / hidden.size)


def test_masks_may_differ_between_images():
    masks = np.stack([np.ones(SHAPE), np.zeros(SHAPE)])
    image = images(2)
    out = edit(editing.pixels(masks), image)
    np.testing.assert_array_equal(out[0], image[0])
    assert float(jnp.abs(out[1] - image[1]).min()) > 0


def test_grey_stays_and_colour_is_sampled(x64):
    image = images(200).astype(jnp.float64)
    out = edit(OBSERVED["grey"], image)
    weights = np.array(editing.LUMINANCE)
    np.testing.assert_allclose(out @ weights, image @ weights, rtol=0, atol=1e-14)
    across = np.asarray(out) @ editing.orthogonal(weights)[:, 1:]
    expected = 0.2 * editing.orthogonal(weights)[:, 1:].sum(0)
    assert np.all(np.abs(across.mean((0, 1, 2)) - expected) < 4 * np.sqrt(0.3 / (across.size / 2)))
    assert abs(np.var(across - expected) - 0.3) < 4 * 0.3 * np.sqrt(2 / across.size)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_patch_means_stay(size, x64):
    small = jax.random.normal(jax.random.key(0), (5, SHAPE[0] // size, SHAPE[1] // size, SHAPE[2]), jnp.float64)
    image = jnp.repeat(jnp.repeat(small, size, axis=1), size, axis=2)
    part = editing.patch_means(SHAPE, size)
    np.testing.assert_allclose(editing.degrade(part, image), image, rtol=0, atol=1e-14)
    out = edit(part, image)
    means = out.reshape(5, SHAPE[0] // size, size, SHAPE[1] // size, size, SHAPE[2]).mean((2, 4))
    np.testing.assert_allclose(means, small, rtol=0, atol=1e-14)
    assert size == 1 or float(jnp.std(out - image)) > 0.1


def test_super_resolution_of_a_score_sampler_too(x64):
    """A measurement is one concept: any sampler is projected onto patch means as well."""
    image = images(3).astype(jnp.float64)
    sampler = impute(heun(), image, OBSERVED["patches_2"])
    denoise = lambda x, sigma: x / (1 + sigma**2)  # noqa: E731
    x = 80.0 * jax.random.normal(jax.random.key(0), image.shape, jnp.float64)
    out = sample(sampler, denoise, x, grids.karras(6), key=jax.random.key(1))
    means = lambda x: x.reshape(3, 2, 2, 4, 2, 3).mean((2, 4))  # noqa: E731
    np.testing.assert_allclose(means(out), means(image), rtol=0, atol=1e-14)


def test_strokes_stay_at_low_levels_and_are_forgotten_at_high_ones():
    """Of x0 ~ N(m, v), a stroke y noised to sigma ends at N(m + g (y - m), v sigma^2 / (v + sigma^2)), g -> 1 or 0."""
    num, stroke = 40_000, 1.5
    for sigma in (0.1, 1.0, 30.0):
        x = stroke + sigma * jax.random.normal(jax.random.key(0), (num, 1))
        out = np.asarray(sample(consistency(), F, x, time_points(sigma_max=sigma), key=jax.random.key(1)), np.float64)
        gain, variance = np.sqrt(0.3 / (0.3 + sigma**2)), 0.3 * sigma**2 / (0.3 + sigma**2)
        assert abs(out.mean() - (0.2 + gain * (stroke - 0.2))) < 4 * np.sqrt(variance / num) + 1e-5
        assert abs(out.var() - variance) < 4 * variance * np.sqrt(2 / num) + 1e-5


def test_denoising_is_one_evaluation_at_the_images_levels():
    """From x0 + sigma n, sigma an image's own, f makes the data's distribution."""
    num = 40_000
    sigma = jnp.linspace(0.1, 3.0, num)[:, None]
    clean = 0.2 + 0.3**0.5 * jax.random.normal(jax.random.key(0), (num, 1))
    out = np.asarray(F(clean + sigma * jax.random.normal(jax.random.key(1), (num, 1)), sigma), np.float64)
    assert abs(out.mean() - 0.2) < 4 * np.sqrt(0.3 / num)
    assert abs(out.var() - 0.3) < 4 * 0.3 * np.sqrt(2 / num)


def test_interpolation_stays_in_the_data_and_a_straight_line_does_not():
    latents = 80.0 * jax.random.normal(jax.random.key(0), (2, 500, 200))
    spread = lambda x: float(jnp.var(F(x, 80.0)))  # noqa: E731
    ends = [F(x, 80.0) for x in latents]
    for weight, end in zip((0.0, 1.0), ends, strict=True):
        np.testing.assert_allclose(F(slerp(*latents, weight), 80.0), end, rtol=1e-5, atol=1e-5)
    assert abs(spread(slerp(*latents, 0.5)) - 0.3) < 0.01
    assert spread((latents[0] + latents[1]) / 2) < 0.2


def test_projection_is_differentiable_and_leaves_the_rest_alone():
    image = images(2)
    part = OBSERVED["pixels"]
    f = editing.project_x0(lambda x, sigma: x, part, jnp.where(part.mask, image, jnp.nan))
    gradient = jax.grad(lambda x: jnp.sum(f(x, 1.0) ** 2))(image)
    np.testing.assert_allclose(gradient, jnp.where(part.mask, 0, 2 * image), rtol=1e-6)


GREY_IMAGE, COLOUR_IMAGE = jnp.zeros((2, 8, 8, 1)), jnp.zeros((2, 8, 8, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: editing.grey((8, 8, 1)), r"colourisation needs images of 3 channels, got shape \[8, 8, 1\]"),
        (lambda: linear_measurement.grey_mask((8, 8)), "colourisation needs images of 3 channels"),
        (
            lambda: editing.project_x0(F, editing.grey((8, 8, 3)), GREY_IMAGE),
            "the basis is one of 3 channels, got images",
        ),
        (lambda: editing.project_x0(F, editing.grey((4, 8, 3)), COLOUR_IMAGE), r"mask must have the shape of the data"),
        (lambda: editing.project_x0(F, editing.pixels(np.ones((8, 8))), COLOUR_IMAGE), r"\[8, 8, 3\], got \[8, 8\]"),
        (
            lambda: editing.project_x0(F, editing.patch_means((8, 8, 1), 2), COLOUR_IMAGE),
            r"those of images \[8, 8, 1\]",
        ),
        (
            lambda: editing.project_x0(F, editing.grey((8, 8, 3)), COLOUR_IMAGE)(GREY_IMAGE, 1.0),
            r"data must have the shape of f's images, \[2, 8, 8, 1\], got \[2, 8, 8, 3\]",
        ),
        (lambda: editing.pixels(np.full((8, 8, 3), 2.0)), "mask must lie between 0"),
        (lambda: editing.pixels(np.full((8, 8, 3), np.nan)), "mask must lie between 0"),
        (lambda: editing.directions(np.ones((8, 8, 4)), np.eye(3)), r"basis must be \[4, 4\]"),
        (lambda: editing.directions(np.ones((8, 8, 3)), np.ones((3, 3))), "basis must be invertible"),
        (lambda: editing.patch_means((8, 8, 3), 3), r"patches of 3 x 3 must tile the image"),
        (lambda: editing.patch_means((8, 8, 3), 0), "patches of 0 x 0"),
        (lambda: editing.patch_means((8, 8), 2), r"\[H, W, C\], got shape \[8, 8\]"),
        (lambda: editing.orthogonal([0.0, 0.0]), "must be a vector that is not 0"),
        (lambda: editing.orthogonal(np.eye(2)), "must be a vector that is not 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
