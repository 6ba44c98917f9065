"""Identities of the augmentation: what each transformation must do, whatever the reference does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.augment import Config, Draw, Draws, apply, augment, batch_margins, draw, label_dim, training
from jaxdiff.augment.blit import reflect
from jaxdiff.augment.geometry import inverse_matrix
from jaxdiff.augment.resample import SYM6, warp

ALL = Config(p=0.7, **dict.fromkeys(Draws._fields, 1.0))
KEY = jax.random.key(0)
run = jax.jit(augment, static_argnums=2)  # slow op by op; that jit is the same has its own test
run_draws = jax.jit(apply, static_argnums=0)


def pictures(batch=4, height=12, width=12, channels=3, dtype=jnp.float32):
    return jax.random.uniform(jax.random.key(7), (batch, height, width, channels), dtype, -1, 1)


def always(w, **rest):
    """A draw for which the gate is open."""
    w = jnp.asarray(w)
    return Draw(w, jnp.zeros(w.shape[0]), **rest)


@pytest.mark.parametrize("channels", [1, 3])
def test_probability_zero_is_the_identity(channels):
    images = pictures(channels=channels)
    out, labels = run(KEY, images, ALL._replace(p=0.0))
    np.testing.assert_allclose(out, images, atol=2e-6)
    np.testing.assert_array_equal(labels, np.zeros((4, 19)))


def test_everything_off_returns_the_images():
    images = pictures()
    out, labels = augment(KEY, images, Config())
    np.testing.assert_array_equal(out, images)
    assert labels.shape == (4, 0)


def test_label_dimension_of_every_transformation():
    twos = {"rotate_int", "translate_int", "rotate_frac", "aniso", "translate_frac", "hue"}
    for name in Draws._fields:
        config = Config(**{name: 1.0})
        expected = 2 if name in twos else 1
        _, labels = jax.eval_shape(lambda x, config=config: augment(KEY, x, config), pictures())
        assert label_dim(config) == labels.shape[1] == expected, name
    assert label_dim(ALL) == 19
    assert label_dim(training()) == 9


def test_labels_are_concatenated_in_the_order_of_the_transformations():
    draws = draw(KEY, 4, ALL)
    _, labels = apply(ALL, draws, pictures())
    start = 0
    for name in Draws._fields:
        alone = Config(p=ALL.p, **{name: 1.0})
        _, own = apply(alone, draws, pictures())
        np.testing.assert_array_equal(labels[:, start : start + own.shape[1]], own, err_msg=name)
        start += own.shape[1]
    assert start == labels.shape[1]


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
    config, images = training(1.0), jnp.sign(pictures(8, 16, 16))
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


def test_an_image_depends_on_the_key_and_its_place_only():
    images = pictures()
    out, labels = run(KEY, images, ALL)
    fewer, fewer_labels = run(KEY, images[:2], ALL)
    np.testing.assert_allclose(out[:2], fewer, atol=1e-6)
    np.testing.assert_allclose(labels[:2], fewer_labels, atol=1e-6)
    own = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(4))
    by_keys, _ = run(own[::-1], images[::-1], ALL)
    np.testing.assert_allclose(out, by_keys[::-1], atol=1e-6)


def test_draws_do_not_depend_on_what_else_is_on():
    every, some = draw(KEY, 3, ALL), draw(KEY, 3, training())
    for name in ("xflip", "aniso", "translate_frac"):
        jax.tree.map(np.testing.assert_array_equal, getattr(every, name), getattr(some, name))
    assert some.hue is None
    raw = jax.random.PRNGKey(0)
    jax.tree.map(np.testing.assert_array_equal, draw(raw, 3, ALL), every)


def test_draws_have_the_right_distribution():
    n = 4000
    draws = draw(KEY, n, ALL)
    for name, d in draws._asdict().items():
        w = np.asarray(d.w, float)
        if name in ("xflip", "yflip", "lumaflip", "rotate_int"):
            choices = 4 if name == "rotate_int" else 2
            counts = np.bincount(w.astype(int), minlength=choices)
            assert len(counts) == choices, name
            np.testing.assert_allclose(counts / n, 1 / choices, atol=5 * 0.5 / n**0.5)
        elif name in ("translate_int", "rotate_frac", "hue"):
            assert w.min() >= 0
            assert w.max() < 1
            np.testing.assert_allclose([w.mean(), w.var()], [1 / 2, 1 / 12], atol=0.03)
        else:
            np.testing.assert_allclose([w.mean(), w.var()], [0, 1], atol=5 * (2 / n) ** 0.5)
        np.testing.assert_allclose([d.gate.mean(), d.gate.var()], [1 / 2, 1 / 12], atol=0.03)


def test_each_transformation_acts_at_its_own_rate():
    _, labels = run(KEY, jnp.zeros((2000, 2, 2, 3)), training(0.12))
    acted = np.mean(np.asarray(labels) != 0, axis=0)
    # Labels: x-flip (always drawn, half are 1), y-flip, scale, (cos - 1, sin), stretch (x, y; y where turned), (x, y).
    expected = np.array([0.5, 0.06, 0.12, 0.12, 0.12, 0.12, 0.06, 0.12, 0.12])
    np.testing.assert_allclose(acted, expected, atol=5 * 0.5 / 2000**0.5)


def test_jit_is_eager():
    images = pictures()
    draws = draw(KEY, 4, ALL)
    jitted = jax.jit(draw, static_argnums=(1, 2))(KEY, 4, ALL)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), jitted, draws)
    for eager, fast in zip(
        apply(ALL, draws, images), jax.jit(apply, static_argnums=0)(ALL, draws, images), strict=True
    ):
        np.testing.assert_allclose(eager, fast, atol=1e-5)


def test_compiles_once_whatever_is_drawn():
    traced = []

    @jax.jit
    def step(key, images):
        traced.append(key)
        return augment(key, images, ALL)

    for seed in range(3):
        step(jax.random.key(seed), pictures())
    assert len(traced) == 1


def test_gradient_is_that_of_a_linear_map(x64):
    config = training(1.0)
    images, other = pictures(2, dtype=jnp.float64), pictures(2, dtype=jnp.float64)[::-1]
    draws = draw(KEY, 2, config)
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: jnp.sum(apply(config, draws, x)[0] * other)))
    value, gradient = value_and_grad(images)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(jnp.sum(gradient * images), value, rtol=1e-9)


def test_gradient_in_the_draws_is_finite():
    config = ALL._replace(p=1.0)
    draws = draw(KEY, 2, config)

    def loss(w):
        return jnp.sum(apply(config, draws._replace(scale=draws.scale._replace(w=w)), pictures(2))[0] ** 2)

    assert np.isfinite(jax.jit(jax.grad(loss))(draws.scale.w)).all()


def test_margins_of_the_identity_are_the_filter():
    matrix = jnp.eye(3)[None]
    np.testing.assert_array_equal(batch_margins(matrix, 12, 16), [6, 6, 6, 6])
    np.testing.assert_array_equal(batch_margins(matrix, 4, 16), [6, 3, 6, 3])
    images = pictures(1)
    np.testing.assert_allclose(warp(matrix, images, jnp.full(4, 6.0)), images, atol=2e-6)


def test_half_precision_is_computed_in_float32():
    out, labels = jax.eval_shape(lambda x: augment(KEY, x, training()), pictures().astype(jnp.bfloat16))
    assert out.dtype == labels.dtype == jnp.float32


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (Config(p=1.5), (2, 8, 8, 3), r"p must be a probability in \[0, 1\], got 1.5"),
        (Config(xflip=-1), (2, 8, 8, 3), "xflip must be a finite number >= 0, got -1"),
        (Config(scale=1, scale_std=float("nan")), (2, 8, 8, 3), "scale_std must be a finite number >= 0, got nan"),
        (Config(translate_int=1, translate_int_max=0), (2, 8, 8, 3), "translate_int_max must be > 0"),
        (Config(rotate_int=1), (2, 8, 10, 3), "images must be square where rotate_int is on, got 8 x 10"),
        (Config(hue=1), (2, 8, 8, 2), "images must have 1 or 3 channels where colours are transformed, got 2"),
        (Config(xflip=1), (8, 8, 3), "images must be floating"),
    ],
)
def test_bad_input(config, shape, message):
    with pytest.raises(ValueError, match=message):
        augment(KEY, jnp.zeros(shape), config)


def test_bad_draws_keys_and_margins():
    config, images = Config(scale=1), pictures()
    with pytest.raises(ValueError, match=r"draws\.scale must hold one draw for each of 4 images, got none"):
        apply(config, Draws(), images)
    with pytest.raises(ValueError, match=r"draws\.scale must hold one draw for each of 4 images, got 3"):
        apply(config, draw(KEY, 3, config), images)
    with pytest.raises(ValueError, match=r"key must be one key or 4 keys, one an image, got shape \[3\]"):
        draw(jax.random.split(KEY, 3), 4, config)
    with pytest.raises(ValueError, match=r"margins must be \[4\]"):
        apply(config, draw(KEY, 4, config), images, margins=jnp.zeros(2))
    with pytest.raises(ValueError, match="images must be floating"):
        apply(Config(), Draws(), jnp.zeros((1, 8, 8, 3), jnp.uint8))
