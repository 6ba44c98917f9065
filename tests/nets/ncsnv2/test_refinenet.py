"""NCSNv2's network: closed forms of its parts, its types, and what it refuses; its values are in tests/parity."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import precond
from jaxdiff.interop.ncsnv2 import ncsnv2_name, params_of
from jaxdiff.nets.ncsnv2.blocks import InstanceNormPlus, ResidualBlock
from jaxdiff.nets.ncsnv2.refine_block import ChainedPooling, resize
from jaxdiff.nets.ncsnv2.refinenet import NCSNv2

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(2, 8, 8, 3)), jnp.float32)
LABELS = jnp.array([2, 0])


def small(**kwargs):
    return NCSNv2(**{"img_resolution": 8, "in_channels": 3, "model_channels": 2, **kwargs})


@pytest.fixture(scope="module")
def params():
    like = jax.eval_shape(small().init, jax.random.key(0), X, LABELS)
    return jax.tree.map(lambda leaf: jnp.asarray(RNG.normal(0.3, 0.3, leaf.shape), leaf.dtype), like)


@pytest.fixture(scope="module")
def raw(params):
    """What the plain network returns; compiled once for those that compare with it."""
    return jax.jit(small().apply)(params, X, LABELS)


@pytest.mark.parametrize("population", [False, True])
def test_instance_norm_plus_in_closed_form(population, x64):
    """Channels of means 1, 2, 6 and deviations 1, 2, 3: m = 3, v = 14/3 or 7."""
    pattern = np.array([[1.0, -1.0], [-1.0, 1.0]])[None, :, :, None]
    x = np.array([1.0, 2.0, 6.0]) + np.array([1.0, 2.0, 3.0]) * pattern
    alpha, gamma, beta = np.array([0.5, 2.0, -1.0]), np.array([1.0, -3.0, 0.25]), np.array([0.0, 1.0, 2.0])
    params = {"params": {"alpha": jnp.asarray(alpha), "gamma": jnp.asarray(gamma), "beta": jnp.asarray(beta)}}
    within = np.array([1.0, 2.0, 3.0]) * pattern / np.sqrt(np.array([1.0, 4.0, 9.0]) + 1e-5)
    between = np.array([-2.0, -1.0, 3.0]) / np.sqrt((14 / 3 if population else 7) + 1e-5)
    out = jax.jit(InstanceNormPlus(population).apply)(params, jnp.asarray(x))
    np.testing.assert_allclose(out, gamma * (within + alpha * between) + beta, rtol=1e-12)


def test_resizing_keeps_ramps_between_the_fixed_points_of_its_convention(x64):
    """Aligned corners: place i of 8 lies at 3 i / 7 of 4. Half pixels: at (i + 1/2) / 2 - 1/2, constant beyond."""
    row, column = np.arange(4.0), np.arange(6.0)
    x = jnp.asarray((row[:, None] - 2 * column)[None, :, :, None])
    aligned = np.arange(8)[:, None] * 3 / 7 - 2 * np.arange(12) * 5 / 11
    np.testing.assert_allclose(resize(x, (8, 12))[0, :, :, 0], aligned, atol=1e-12)
    place = lambda n: np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)  # noqa: E731
    halves = place(4)[:, None] - 2 * place(6)
    np.testing.assert_allclose(resize(x, (8, 12), half_pixel=True)[0, :, :, 0], halves, atol=1e-12)


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (9, 13)])
def test_half_pixel_resizing_is_that_of_jax(size):
    expected = jax.image.resize(X, (2, *size, 3), "bilinear", antialias=False)
    np.testing.assert_allclose(resize(X, size, half_pixel=True), expected, atol=1e-5)


def test_pooling_sees_two_pixels_around_and_nothing_beyond_the_border():
    """With 1x1 identities in the convolutions: x, plus its maximum over 5x5, plus that over 9x9."""
    identity = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    x = np.abs(RNG.normal(size=(1, 7, 7, 1))).astype(np.float32)
    params = {"params": {f"convs_{index}": {"kernel": identity} for index in range(2)}}
    out = np.asarray(jax.jit(ChainedPooling().apply)(params, x))[0, :, :, 0]
    window = lambda i, j, r: x[0, max(i - r, 0) : i + r + 1, max(j - r, 0) : j + r + 1, 0].max()  # noqa: E731
    expected = [[x[0, i, j, 0] + window(i, j, 2) + window(i, j, 4) for j in range(7)] for i in range(7)]
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_dilation_reaches_further_at_the_same_resolution(dilation):
    """Norms look at the whole image, so the reach is that of the linear skip alone."""
    block = ResidualBlock(2, dilation=dilation, project=True)
    x = jnp.zeros((1, 13, 13, 2))
    shapes = jax.eval_shape(block.init, jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    params["params"]["shortcut"]["kernel"] = jnp.ones((3, 3, 2, 2))
    out = jax.jit(block.apply)(params, x.at[0, 6, 6].set(1.0))
    rows, columns = np.nonzero(np.asarray(out[0, :, :, 0]))
    assert sorted(set(rows)) == sorted(set(columns)) == [6 - dilation, 6, 6 + dilation]


def test_the_output_is_divided_by_the_sigma_of_the_label(params, raw):
    sigmas = (50.0, 2.0, 0.5)
    divided = jax.jit(small(sigmas=sigmas).apply)
    np.testing.assert_allclose(divided(params, X, LABELS), raw / np.array([0.5, 50.0])[:, None, None, None], rtol=1e-6)
    np.testing.assert_allclose(divided(params, X, jnp.array(1)), raw / 2.0, rtol=1e-6)
    np.testing.assert_allclose(divided(params, X, jnp.array(1.9)), raw / 2.0, rtol=1e-6)


def test_raw_output_makes_a_denoiser_by_the_ve_preconditioning(params, raw):
    """D = x + sigma^2 * score, score = F / sigma."""
    net, sigma = small(), jnp.array([0.3, 20.0])
    denoise = precond.denoiser(net.apply, params, precond.ve())
    expected = X + sigma[:, None, None, None] * raw
    np.testing.assert_allclose(jax.jit(denoise)(X, sigma), expected, rtol=1e-5, atol=1e-5)


def test_uncentred_images_are_mapped_to_plus_minus_one(params, raw):
    mapped = jax.jit(small(centered=False).apply)(params, (X + 1) / 2, LABELS)
    np.testing.assert_allclose(mapped, raw, atol=1e-5)


def test_bfloat16_inside_float32_outside(params):
    out = jax.eval_shape(small(dtype=jnp.bfloat16).apply, params, X, LABELS)
    assert (out.shape, out.dtype) == (X.shape, jnp.float32)


def test_further_sizes_and_widths_of_the_decoder():
    """The network for 128 pixels, and the default one as the JAX code has it."""
    x = jnp.zeros((1, 16, 16, 3))
    deep = small(img_resolution=16, channel_mult=(1, 2, 2, 4, 4), dilations=(1, 1, 1, 2, 4))
    shapes = jax.eval_shape(deep.init, jax.random.key(0), x, LABELS[:1])["params"]
    width = lambda block: block["output_convs"]["1_1_conv"]["kernel"].shape[-1]  # noqa: E731
    widths = lambda shapes: [width(shapes[name]) for name in sorted(shapes) if name.startswith("refine")]  # noqa: E731
    assert widths(shapes) == [8, 4, 4, 2, 2]
    wide = jax.eval_shape(small(refine_mult=(2, 2, 2, 1)).init, jax.random.key(0), X, LABELS)["params"]
    assert widths(wide) == [4, 4, 4, 2]


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"model_channels": 1}, "model_channels must be 2 or more"),
        ({"channel_mult": (2, 2, 2, 2)}, "channel_mult must be 1, then"),
        ({"dilations": (1, 1, 2)}, "dilations must be 1, then"),
        ({"dilations": (1, 0, 2, 4)}, "dilations must be 1, then"),
        ({"refine_mult": (2, 2)}, "refine_mult must be 4 positive integers"),
        ({"img_resolution": 7}, "img_resolution=7 must be divisible by 2"),
        ({"sigmas": ()}, "sigmas must be positive"),
        ({"sigmas": (1.0, 0.0)}, "sigmas must be positive"),
        ({"in_channels": 1}, "x must be"),
    ],
)
def test_what_does_not_fit_is_refused_before_compilation(kwargs, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda: small(**kwargs).init(jax.random.key(0), X, LABELS))
    with pytest.raises(ValueError, match="noise_labels must be"):
        jax.eval_shape(lambda: small().init(jax.random.key(0), X, jnp.zeros(3)))


def published(params):
    """The state dict that holds these params, under a prefix."""
    turn = lambda a: np.asarray(a).transpose(3, 2, 0, 1) if a.ndim == 4 else np.asarray(a)  # noqa: E731
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {f"module.{ncsnv2_name(path)}": turn(leaf) for path, leaf in leaves}


def test_state_dicts(params):
    state_dict = published(params)
    back = params_of(small(), state_dict, prefix="module.")
    chex.assert_trees_all_equal(back, params)
    sigmas = {"module.sigmas": np.array([2.0, 1.0])}
    chex.assert_trees_all_equal(params_of(small(), {**state_dict, **sigmas}, "module."), params)
    params_of(small(sigmas=(2.0, 1.0)), {**state_dict, **sigmas}, "module.")
    with pytest.raises(ValueError, match="sigmas are"):
        params_of(small(sigmas=(2.0, 1.5)), {**state_dict, **sigmas}, "module.")
    del state_dict["module.refine1.crp.convs.0.weight"]
    with pytest.raises(ValueError, match=r"lacks refine1\.crp\.convs\.0\.weight"):
        params_of(small(), state_dict, "module.")
