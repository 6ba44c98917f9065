"""Denoising diffusion GANs' networks: what they refuse, how they start, what reaches their output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.ddgan.blocks import AdaptiveGroupNorm, LatentMap, OneNormBlock, pixel_norm
from jaxdiff.nets.ddgan.discriminator import Discriminator, large_discriminator, minibatch_deviation
from jaxdiff.nets.ddgan.generator import Generator
from tests.support import quick_keys


def generator(**kwargs):
    options = {"model_channels": 8, "channel_mult": (1, 2), "num_blocks": 1, "attn_resolutions": (), "latent_dim": 4}
    return Generator(8, 1, 1, **{**options, "map_features": 6, "map_layers": 1, **kwargs})


def discriminator(**kwargs):
    return Discriminator(1, **{"model_channels": 4, "emb_channels": 8, **kwargs})


def random_params(net, *inputs):
    """Parameters far from where they start, so that everything reaches the output."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), *inputs)
    leaves, structure = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(structure, [jnp.asarray(0.3 * rng.standard_normal(leaf.shape), "f4") for leaf in leaves])


X = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
Z = jax.random.normal(jax.random.key(2), (4, 4))
T = jnp.array([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("net", "x", "t", "z", "says"),
    [
        (generator(), (2, 8, 8, 1), 2, (2, 5), r"z must be \[2, 4\] for this network, got \[2, 5\]"),
        (generator(), (2, 8, 8, 1), 2, (1, 4), r"z must be \[2, 4\] for this network, got \[1, 4\]"),
        (generator(), (2, 4, 4, 1), 2, (2, 4), r"x must be \[B, 8, 8, 1\] for this network, got \[2, 4, 4, 1\]"),
        (generator(), (2, 8, 8, 1), 3, (2, 4), r"noise_labels must be \[\] or \[2\], got \[3\]"),
        (generator(encoder_type="input_skip"), (2, 8, 8, 1), 2, (2, 4), "encoder_type must be one of"),
        (generator(resample_filter=(1, 2, 1)), (2, 8, 8, 1), 2, (2, 4), "even number of taps"),
        (
            generator(resample_filter=((1, 2), (2, 1))),
            (2, 8, 8, 1),
            2,
            (2, 4),
            "a flat sequence of an even number of taps",
        ),
        (generator(down_filter="turn"), (2, 8, 8, 1), 2, (2, 4), "down_filter"),
        (generator(channel_mult=(1,) * 5), (2, 8, 8, 1), 2, (2, 4), "img_resolution=8 must be divisible by 16"),
    ],
)
def test_generator_refuses(net, x, t, z, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros(x), jnp.zeros(t), jnp.zeros(z)))


@pytest.mark.parametrize(
    ("net", "x_next", "x", "t", "says"),
    [
        (discriminator(), (6, 8, 8, 1), (6, 8, 8, 1), 6, "a batch of 6 does not split into groups of 4"),
        (discriminator(), (4, 8, 8, 1), (4, 8, 4, 1), 4, r"one shape, got \[4, 8, 8, 1\] and \[4, 8, 4, 1\]"),
        (discriminator(), (4, 8, 8, 2), (4, 8, 8, 1), 4, r"one shape, got \[4, 8, 8, 2\] and \[4, 8, 8, 1\]"),
        (discriminator(), (4, 8, 8, 2), (4, 8, 8, 2), 4, r"x must be \[B, H, W, 1\] for this network"),
        (discriminator(), (4, 4, 8, 1), (4, 4, 8, 1), 4, "images must be 8x8 or more for this network, got 4x8"),
        (
            large_discriminator(1, 1, 4),
            (4, 64, 32, 1),
            (4, 64, 32, 1),
            4,
            "images must be 64x64 or more for this network, got 64x32",
        ),
        (discriminator(), (4, 8, 8, 1), (4, 8, 8, 1), 3, r"noise_labels must be \[\] or \[4\], got \[3\]"),
    ],
)
def test_discriminator_refuses(net, x_next, x, t, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros(x_next), jnp.zeros(x), jnp.zeros(t)))


def test_groups_of_the_minibatch_deviation_are_strided():
    x = np.random.default_rng(0).standard_normal((8, 2, 3, 5))
    ours = minibatch_deviation(jnp.asarray(x, jnp.float32))[:, 0]
    for example in range(8):
        members = x[[example % 2, example % 2 + 2, example % 2 + 4, example % 2 + 6]]
        np.testing.assert_allclose(ours[example], members.std(0).mean(), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_batch_below_the_group_is_one_group(batch):
    x = np.random.default_rng(0).standard_normal((batch, 2, 2, 3))
    ours = minibatch_deviation(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(ours, np.full((batch, 1), max(x.std(0).mean(), 1e-4)), rtol=1e-5)


def test_latents_are_normalised_to_mean_square_one():
    np.testing.assert_allclose(jnp.mean(pixel_norm(Z) ** 2, axis=1), 1.0, rtol=1e-6)
    net = LatentMap(6, 2)
    params, run = jax.jit(net.init)(quick_keys.key(), Z), jax.jit(net.apply)
    np.testing.assert_allclose(run(params, 7 * Z), run(params, Z), rtol=1e-4, atol=1e-6)


def test_adaptive_norm_is_linear_in_its_scale_and_normalises():
    net, x = AdaptiveGroupNorm(), 5 + jax.random.normal(jax.random.key(0), (4, 6, 6, 8))
    params, run = jax.jit(net.init)(quick_keys.key(1), x, Z), jax.jit(net.apply)
    plain = jax.tree.map(jnp.zeros_like, params["params"]["style"]["kernel"])
    bias = params["params"]["style"]["bias"]
    np.testing.assert_array_equal(bias, [1.0] * 8 + [0.0] * 8)
    y = run({"params": {"style": {"kernel": plain, "bias": bias}}}, x, Z).reshape(4, 36, 2, 4)
    np.testing.assert_allclose(y.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 3)), 1, rtol=1e-4)
    shifted = run({"params": {"style": {"kernel": plain, "bias": 2 * bias + 1}}}, x, Z).reshape(y.shape)
    np.testing.assert_allclose(shifted, 3 * y + 1, rtol=1e-4, atol=1e-5)


VARIANTS = {
    "default": {},
    "one norm": {"block": OneNormBlock},
    "ddpm": {"resblock_updown": False, "resample_filter": None, "tanh": False},
    # Up-sampling by a filter and a convolution at once is what the authors' code cannot run.
    "ddpm with FIR": {"resblock_updown": False, "encoder_type": "skip", "encoder_combine": "cat"},
    "fourier": {"embedding_type": "fourier", "decoder_type": "skip"},
}


@pytest.mark.parametrize(
    "options",  # "ddpm with FIR" has what "ddpm" has
    [pytest.param(VARIANTS[name], id=name, marks=pytest.mark.full if name == "ddpm" else ()) for name in VARIANTS],
)
def test_latent_time_and_image_reach_the_output(options):
    net = generator(**options)
    params = random_params(net, X, T, Z)
    run = jax.jit(net.apply)
    x0 = run(params, X, T + 0.5, Z)
    assert x0.shape == X.shape
    assert x0.dtype == jnp.float32
    assert not options.get("tanh", True) or jnp.abs(x0).max() <= 1
    for other in (run(params, X + 0.1, T + 0.5, Z), run(params, X, T + 1.5, Z), run(params, X, T + 0.5, Z[::-1])):
        assert (jnp.abs(other - x0).max((1, 2, 3)) > 1e-5).all()


def test_one_time_for_all_and_no_time_at_all():
    net, conditional = generator(channel_mult=(1,), conditional=False), generator(channel_mult=(1,))
    params = random_params(conditional, X, T, Z)
    same = jax.jit(conditional.apply)(params, X, jnp.full(4, 2), Z)
    np.testing.assert_allclose(jax.jit(conditional.apply)(params, X, jnp.array(2), Z), same, rtol=1e-4, atol=1e-6)
    params = random_params(net, X, T, Z)
    assert "map" not in params["params"]
    run = jax.jit(net.apply)
    np.testing.assert_array_equal(run(params, X, T, Z), run(params, X, 0 * T, Z))


def test_the_discriminator_tells_its_two_images_and_times_apart():
    net, other = discriminator(), X[::-1]
    params = random_params(net, X, X, T)
    run = jax.jit(net.apply)
    logits = run(params, X, other, T)
    assert logits.shape == (4,)
    assert not np.allclose(logits, run(params, other, X, T), rtol=1e-3)
    assert not np.allclose(logits, run(params, X, other, T[::-1]), rtol=1e-3)
    np.testing.assert_allclose(run(params, X, other, jnp.array(1)), run(params, X, other, 0 * T + 1), rtol=1e-4)


def test_bfloat16_computes_low_and_returns_float32():
    for net, inputs in (
        (generator(channel_mult=(1,), dtype=jnp.bfloat16), (X, T, Z)),
        (discriminator(dtype=jnp.bfloat16), (X, X, T)),
    ):
        params = random_params(net, *inputs)
        low, full = jax.jit(net.apply)(params, *inputs), jax.jit(net.clone(dtype=None).apply)(params, *inputs)
        assert low.dtype == jnp.float32
        assert not np.array_equal(low, full)
        assert jnp.abs(low - full).max() < 0.1 * jnp.abs(full).max()


def named(net, *inputs):
    """{path: array} of a fresh network."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.jit(net.init)(quick_keys.key(), *inputs)["params"])
    return {tuple(entry.key for entry in path): np.asarray(leaf, np.float64) for path, leaf in leaves}


def check_uniform(value, bound, path):
    """All within the bound, and spread as U(-bound, bound): 5 standard errors of mean and of mean square."""
    assert np.abs(value).max() <= bound * (1 + 1e-6), path
    assert abs(value.mean()) <= 5 * bound / np.sqrt(3 * value.size), path
    assert abs(np.mean(value**2) / bound**2 - 1 / 3) <= 5 * np.sqrt(4 / 45 / value.size), path


def fans(kernel):
    area = np.prod(kernel.shape[:-2], dtype=int)
    return area * kernel.shape[-2], area * kernel.shape[-1]


@pytest.mark.full
def test_generator_starts_as_ncsnpp_and_its_latent_layers_by_fan_out():
    net = generator(model_channels=16, latent_dim=32, map_features=32)
    for path, value in named(net, X, T, jnp.zeros((4, 32))).items():
        if path[-1] == "kernel" and ("style" in path or "latent_map" in path):
            check_uniform(value, np.sqrt(3 / fans(value)[1]), path)
        elif path[-1] == "kernel":
            small = path[-2] in ("conv1", "proj") or path[-2].endswith("aux_conv")
            scale = 1e-5 if small else 0.2**0.5 if path[-2] == "qkv" else 1.0
            check_uniform(value, scale * np.sqrt(6 / sum(fans(value))), path)
        elif path[-2] == "style":
            np.testing.assert_array_equal(value, np.repeat([1.0, 0.0], value.size // 2))
        else:
            np.testing.assert_array_equal(value, 1.0 if path[-1] == "scale" else 0.0)


@pytest.mark.full
@pytest.mark.parametrize("net", [discriminator(model_channels=16), large_discriminator(1, 8, 16)], ids=["s", "l"])
def test_discriminators_start_by_fan_out(net):
    x = jnp.zeros((4, 64, 64, 1))
    for path, value in named(net, x, x, T).items():
        if path[-1] == "bias":
            np.testing.assert_array_equal(value, 0)
            continue
        small = path[-2] == "conv1" or (path[-2] == "final_conv" and net.same)
        check_uniform(value, (1e-5 if small else 1.0) * np.sqrt(3 / fans(value)[1]), path)


def test_parameters_are_float32_in_double_precision_too(x64):
    x, z = jnp.zeros((4, 8, 8, 1), jnp.float64), jnp.zeros((4, 4), jnp.float64)
    for net, inputs in ((generator(), (x, T, z)), (discriminator(), (x, x, T))):
        params = jax.eval_shape(net.init, jax.random.key(0), *inputs)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_integer_times_are_embedded_in_the_precision_of_the_image(x64):
    net, x, z = generator(channel_mult=(1,)), X.astype(jnp.float64), Z.astype(jnp.float64)
    params = jax.tree.map(lambda a: a.astype(jnp.float64), random_params(net, x, T, z))
    run = jax.jit(net.apply)
    np.testing.assert_array_equal(run(params, x, T, z), run(params, x, T.astype(jnp.float64), z))
