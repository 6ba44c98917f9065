"""Identities of the augmentation: what each transformation must do, whatever the reference does."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.augment import Config, Draws, apply, batch_margins, draw, edm_config
from jaxdiff.augment.blit import reflect
from jaxdiff.augment.geometry import inverse_matrix
from jaxdiff.augment.resample import SYM6
from tests.augment.pictures import KEY, always, pictures, run_draws


def test_flips_mirror_and_undo_themselves():
    images = pictures(2)
    for name, axis in (("xflip", 2), ("yflip", 1)):
        config, draws = Config(**{name: 1.0}), Draws(**{name: always([1, 0])})
        out, labels = apply(config, draws, images)
        np.testing.assert_array_equal(out[0], jnp.flip(images, axis)[0])
        np.testing.assert_array_equal(out[1], images[1])
        np.testing.assert_array_equal(labels, [[1], [0]])
        np.testing.assert_array_equal(apply(config, draws, out)[0], images)


def test_quarter_turns():
    images = pictures(4)
    out, labels = apply(Config(rotate_int=1), Draws(rotate_int=always([0, 1, 2, 3])), images)
    for turns in range(4):
        np.testing.assert_array_equal(out[turns], np.rot90(images[turns], turns))
    np.testing.assert_array_equal(labels, [[0, 0], [1, 0], [1, 1], [0, 1]])


def test_integer_translation_shifts_and_reflects():
    images = pictures(1, 12, 16)
    config = Config(translate_int=1, translate_int_max=0.25)
    out, labels = apply(config, Draws(translate_int=always([[1.0, 0.0]])), images)  # right 4, up -3
    np.testing.assert_array_equal(out[:, 3:, 4:], images[:, :-3, :-4])
    np.testing.assert_array_equal(out[:, 3:, :4], images[:, :-3, 4:0:-1])
    np.testing.assert_array_equal(out[:, :3, 4:], images[:, 3:0:-1, :-4])
    np.testing.assert_array_equal(labels, [[1, -1]])


def test_reflection_of_any_index():
    expected = np.pad(np.arange(5), 17, mode="reflect")
    np.testing.assert_array_equal(reflect(np.arange(-17, 22), 5), expected)
    np.testing.assert_array_equal(reflect(np.arange(-3, 3), 1), np.zeros(6))


def test_filter_is_orthogonal_with_six_vanishing_moments():
    for shift in range(6):
        np.testing.assert_allclose(SYM6[2 * shift :] @ SYM6[: 12 - 2 * shift], shift == 0, atol=1e-7)
    alternating = SYM6 * (-1.0) ** np.arange(12)
    for moment in range(6):
        np.testing.assert_allclose(alternating @ np.linspace(-1, 1, 12) ** moment, 0, atol=1e-7)


def ramp(height, width):
    """A plane a x + b y + c about the centre, [1, H, W, 1], and the same as a function of x and y."""
    x, y = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2

    def plane(x, y):
        return 0.03 * x - 0.02 * y + 0.1

    return jnp.asarray(plane(x[None, :], y[:, None]))[None, :, :, None], plane


@pytest.mark.parametrize(
    ("config", "draws", "source"),
    [
        (Config(scale=1, scale_std=1), {"scale": always([1.0])}, [[0.5, 0, 0], [0, 0.5, 0]]),
        (Config(rotate_frac=1), {"rotate_frac": always([0.75])}, [[0, -1, 0], [1, 0, 0]]),
        (Config(rotate_frac=1), {"rotate_frac": always([1.0])}, [[-1, 0, 0], [0, -1, 0]]),
        (Config(translate_frac=1), {"translate_frac": always([[0.5, -0.25]])}, [[1, 0, -2.5], [0, 1, 1.0]]),
        (
            Config(aniso=1, aniso_std=0.5, aniso_rotate_prob=1),
            {"aniso": always([1.0], r=jnp.array([0.5]), rotate_gate=jnp.zeros(1))},
            [[2**-0.5, 0, 0], [0, 2**0.5, 0]],
        ),
    ],
    ids=["scale", "quarter", "half", "translate", "aniso"],
)
def test_a_plane_is_resampled_exactly(config, draws, source, x64):
    # A filter with vanishing moments keeps planes; away from the border, out(p) = in(A p + t), but for the filter's
    # own delay d (in fine pixels, it is not quite symmetric), which the map does not commute with: (A - 1) d / 2.
    height, width = 32, 40
    images, plane = ramp(height, width)
    draws = Draws(**draws)
    matrix, _ = inverse_matrix(config, draws, height, width, images.dtype)
    np.testing.assert_allclose(matrix[0, :2], source, atol=1e-7)
    out, _ = run_draws(config, draws, images)
    (axx, axy, tx), (ayx, ayy, ty) = np.asarray(matrix[0, :2])
    delay = SYM6 @ (np.arange(12) - 5) / SYM6.sum() / 2
    inner = slice(11, -11)
    x = (np.arange(width) - (width - 1) / 2)[None, inner] + delay
    y = (np.arange(height) - (height - 1) / 2)[inner, None] + delay
    expected = plane(axx * x + axy * y + tx - delay, ayx * x + ayy * y + ty - delay)
    np.testing.assert_allclose(out[0, inner, inner, 0], expected, atol=1e-6)


def test_reflection_continues_the_image():
    # Half a picture to the right: what comes in from the left is the mirror image.
    images = pictures(1, 16, 16)
    config = Config(translate_frac=1, translate_frac_std=0.5)
    out, labels = run_draws(config, Draws(translate_frac=always([[0.5, 0.0]])), images)  # 4 pixels
    np.testing.assert_allclose(out[:, :, 4:], images[:, :, :-4], atol=2e-6)
    np.testing.assert_allclose(out[:, :, :4], images[:, :, 4:0:-1], atol=2e-6)
    np.testing.assert_array_equal(labels, [[0.5, 0]])


def test_smaller_margins_end_in_zeros():
    images, config = jnp.ones((1, 12, 12, 1)), Config(translate_frac=1, translate_frac_std=1)
    shift = {pixels: Draws(translate_frac=always([[pixels / 12, 0.0]])) for pixels in (3, 9)}
    out, _ = run_draws(config, shift[9], images, margins=jnp.zeros(4))
    np.testing.assert_allclose(out[0, 3:-3, :3], 0, atol=1e-6)
    assert jnp.abs(out[0, 3:-3, -1] - 1).max() < 0.1
    for margins in (None, jnp.full(4, 11.0), jnp.array([9.0, 6, 6, 6])):  # the filter needs six beyond the shift
        np.testing.assert_allclose(run_draws(config, shift[3], images, margins=margins)[0], images, atol=2e-6)


def test_margins_of_the_batch_hardly_matter():
    config, images = edm_config(1.0), jnp.sign(pictures(8, 16, 16))
    draws = draw(KEY, 8, config)
    margins = batch_margins(inverse_matrix(config, draws, 16, 16, images.dtype)[0], 16, 16)
    out, _ = run_draws(config, draws, images, margins=margins)
    np.testing.assert_allclose(out, run_draws(config, draws, images)[0], atol=1e-3)


def test_colors_by_hand():
    images = pictures(1)
    mean = images.mean(-1, keepdims=True)
    cases = [
        (Config(brightness=1, brightness_std=0.3), Draws(brightness=always([2.0])), images + 0.6, [2]),
        (Config(contrast=1, contrast_std=1), Draws(contrast=always([-1.0])), images / 2, [-1]),
        (Config(lumaflip=1), Draws(lumaflip=always([1])), images - 2 * mean, [1]),
        (Config(hue=1), Draws(hue=always([5 / 6])), jnp.roll(images, 1, -1), [-1.5, 0.75**0.5]),
        (Config(saturation=1), Draws(saturation=always([1.0])), mean + 2 * (images - mean), [1]),
    ]
    for config, draws, expected, labels in cases:
        out, own = apply(config, draws, images)
        np.testing.assert_allclose(out, expected, atol=1e-6)
        np.testing.assert_allclose(own[0], labels, atol=1e-6)


def test_grey_pictures_agree_with_grey_colors():
    grey = pictures(channels=1)
    config = Config(brightness=1, contrast=1, lumaflip=1, hue=1, saturation=1)
    draws = draw(KEY, 4, config)
    colored, labels = apply(config, draws, jnp.tile(grey, (1, 1, 1, 3)))
    out, own = apply(config, draws, grey)
    np.testing.assert_allclose(out, colored.mean(-1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(own, labels)
