"""The whole augmentation: labels, draws, compilation, gradients, and what is refused."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.augment import Config, Draws, apply, augment, batch_margins, draw, edm_config, label_dim
from jaxdiff.augment.resample import warp
from tests.augment.pictures import ALL, KEY, pictures, run


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
    assert label_dim(edm_config()) == 9


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
    every, some = draw(KEY, 3, ALL), draw(KEY, 3, edm_config())
    for name in ("xflip", "aniso", "translate_frac"):
        chex.assert_trees_all_equal(getattr(every, name), getattr(some, name))
    assert some.hue is None
    raw = jax.random.PRNGKey(0)
    chex.assert_trees_all_equal(draw(raw, 3, ALL), every)


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
    _, labels = run(KEY, jnp.zeros((2000, 2, 2, 3)), edm_config(0.12))
    acted = np.mean(np.asarray(labels) != 0, axis=0)
    # Labels: x-flip (always drawn, half are 1), y-flip, scale, (cos - 1, sin), stretch (x, y; y where turned), (x, y).
    expected = np.array([0.5, 0.06, 0.12, 0.12, 0.12, 0.12, 0.06, 0.12, 0.12])
    np.testing.assert_allclose(acted, expected, atol=5 * 0.5 / 2000**0.5)


def test_jit_is_eager():
    images = pictures()
    draws = draw(KEY, 4, ALL)
    jitted = jax.jit(draw, static_argnums=(1, 2))(KEY, 4, ALL)
    chex.assert_trees_all_close(jitted, draws, rtol=1e-7, atol=1e-6)
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
    config = edm_config(1.0)
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
    out, labels = jax.eval_shape(lambda x: augment(KEY, x, edm_config()), pictures().astype(jnp.bfloat16))
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
