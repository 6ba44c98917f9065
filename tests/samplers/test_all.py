"""What holds for every sampler of the table.

A row's programs are compiled once for several tests; `sample` itself would compile its loop anew in every call.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, grids
from jaxdiff.guidance import classifier_guide, guide
from jaxdiff.process.reverse_kernel import fixed, guided
from jaxdiff.samplers import ddim, dpmpp_2m, encode, euler, heun, sample, trajectory
from tests.samplers.table import TABLE
from tests.support.tiers import full

rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
stochastic = pytest.mark.parametrize("row", [row for row in TABLE if row.stochastic], ids=lambda row: row.name)
ordered = pytest.mark.parametrize("row", [row for row in TABLE if row.order], ids=lambda row: row.name)

MIXTURE = gaussian_mixture.mixture([[-1.0, 0.3], [0.6, -0.5], [0.9, 0.9]], [0.5, 0.3, 0.2], [0.04, 0.02, 0.09])
DENOISE = partial(gaussian_mixture.denoiser, MIXTURE)
SIGMAS = grids.karras(8)
KEY = jax.random.key(3)
NOT_IN_FLOAT32 = ([2.0, 1.0, 1 - 1e-9, 0.5, 0.0], [1.0, 1e-50, 0.0], [1e39, 1.0, 0.0])


def start(num, dtype=jnp.float32):
    return SIGMAS[0] * jax.random.normal(jax.random.key(0), (num, 2), dtype)


def draws(sampler, key, x, num_steps):
    """The draws of the driver's key path, made by hand."""

    def one(example, index, x):
        return sampler.draw(jax.random.fold_in(jax.random.fold_in(key, example), index), x)

    over_examples = jax.vmap(one, (0, None, 0))
    return jax.vmap(over_examples, (None, 0, None))(jnp.arange(x.shape[0]), jnp.arange(num_steps), x)


@cache
def program(row):
    """(x, key or keys) -> x, compiled once for each shape of them."""
    return jax.jit(lambda x, key: sample(row.make(), DENOISE, x, SIGMAS, key=key))


@cache
def optimised_end(row):
    """Of four examples, as a user without jit has them; for tests that are marked `optimised`."""
    return sample(row.make(), DENOISE, start(4), SIGMAS, key=KEY)


@pytest.mark.optimised
@rows
def test_jit_equals_eager(row):
    run = partial(sample, row.make(), DENOISE, sigmas=SIGMAS, key=KEY)
    np.testing.assert_allclose(jax.jit(run)(start(4)), optimised_end(row), rtol=1e-5, atol=1e-5)


@pytest.mark.optimised
@rows
def test_trajectory_starts_at_x_and_ends_where_sample_does(row):
    """Bit for bit, on a grid that is any sampler's and on the row's own."""
    for sigmas in (SIGMAS, row.grid(8)):
        start_x = start(4) * (sigmas[0] / SIGMAS[0])
        x, xs = trajectory(row.make(), DENOISE, start_x, sigmas, key=KEY)
        assert xs.shape == (len(sigmas), 4, 2)
        np.testing.assert_array_equal(xs[0], start_x)
        np.testing.assert_array_equal(xs[-1], x)
        end = optimised_end(row) if sigmas is SIGMAS else sample(row.make(), DENOISE, start_x, sigmas, key=KEY)
        np.testing.assert_array_equal(x, end)


@stochastic
def test_replayed_noise_equals_the_key_path(row, x64):
    """In float64, as the two programs round differently."""
    sampler, sigmas = row.make(), row.grid(8)
    x = start(4, jnp.float64) * sigmas[0] / SIGMAS[0]
    noise = jax.jit(partial(draws, sampler, num_steps=len(sigmas) - 1))(KEY, x)

    def both(x, key, noise):
        return sample(sampler, DENOISE, x, sigmas, noise=noise), sample(sampler, DENOISE, x, sigmas, key=key)

    np.testing.assert_allclose(*jax.jit(both)(x, KEY, noise), rtol=1e-6, atol=1e-6)


@rows
def test_an_example_does_not_depend_on_the_batch(row):
    run, x = program(row), start(4)
    np.testing.assert_allclose(run(x[:2], KEY), run(x, KEY)[:2], rtol=1e-5, atol=1e-5)


@stochastic
def test_one_key_an_example_makes_images_movable(row):
    keys, run = jax.random.split(KEY, 4), program(row)
    forward, backward = run(start(4), keys), run(start(4)[::-1], keys[::-1])
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-5, atol=1e-5)


@stochastic
def test_keys_matter(row):
    run = partial(program(row), start(4))
    assert not np.allclose(run(jax.random.key(1)), run(jax.random.key(2)))


@rows
def test_gradient_is_finite(row):
    def loss(scale):
        denoise = lambda x, sigma: scale * DENOISE(x, sigma)  # noqa: E731
        return jnp.sum(sample(row.make(), denoise, start(4), SIGMAS, key=KEY) ** 2)

    value, gradient = jax.jit(jax.value_and_grad(loss))(1.0)
    assert np.isfinite(value)
    assert np.isfinite(gradient)
    assert gradient != 0


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_ddim_has_a_slope_by_every_level(eta, x64):
    """Also by the last, 0: of grids that are learned. By central differences, and at eta = 0 by Euler's method."""

    def end(sampler, sigmas):
        return jnp.sum(sample(sampler, DENOISE, start(4, jnp.float64), sigmas, key=KEY) ** 2)

    levels = jnp.array([3.0, 1.0, 0.3, 0.0])
    slope = jax.jit(jax.grad(partial(end, ddim(eta))))(levels)
    shift = 1e-5 * jnp.eye(4)[:3]
    rise = jax.vmap(lambda shift: end(ddim(eta), levels + shift) - end(ddim(eta), levels - shift))(shift)
    np.testing.assert_allclose(slope[:3], rise / 2e-5, rtol=1e-6)
    assert np.isfinite(slope[3])
    if eta == 0:
        np.testing.assert_allclose(slope, jax.jit(jax.grad(partial(end, euler())))(levels), rtol=1e-9)


@rows
def test_compiles_the_denoiser_no_more_often_for_more_steps(row):
    def traces(num_steps):
        count = 0

        def denoise(x, sigma):
            nonlocal count
            count += 1
            return DENOISE(x, sigma)

        run = partial(sample, row.make(), denoise, sigmas=grids.karras(num_steps), key=KEY)
        jax.jit(run).lower(start(2))
        return count

    assert traces(40) == traces(5)


@rows
@pytest.mark.parametrize("num_steps", [1, *full(2), 9])
def test_number_of_evaluations(row, num_steps):
    calls = []

    def denoise(x, sigma):
        calls.append(float(sigma))
        return DENOISE(x, sigma)

    with jax.disable_jit():  # scan and cond run in Python, so that each call has its number
        sample(row.make(), denoise, start(2), grids.karras(num_steps), key=KEY)
    assert len(calls) == row.nfe(num_steps)
    assert min(calls) > 0, "a denoiser is never asked about sigma = 0"


@rows
def test_state_is_float32_when_the_network_is_not(row):
    denoise = lambda x, sigma: DENOISE(x, sigma).astype(jnp.bfloat16)  # noqa: E731
    run = partial(sample, row.make(), denoise, sigmas=SIGMAS, key=KEY)
    assert jax.eval_shape(run, start(2, jnp.bfloat16)).dtype == jnp.float32


WIDE = partial(gaussian_mixture.denoiser, MIXTURE._replace(variances=np.full(3, 0.25)))


@cache
def wide_start():
    """(x, where a fine solution of the ODE ends)."""
    x = 10.0 * jax.random.normal(jax.random.key(0), (64, 2), jnp.float64)
    return x, sample(heun(), WIDE, x, np.geomspace(10, 0.1, 8193))


@ordered
def test_order_of_convergence(row, x64):
    """Error against a fine solution of the ODE, halving the step in log sigma: slope within 0.15 of the order."""
    x, exact = wide_start()
    run = partial(sample, row.make(), WIDE, x)
    counts = np.array([128, 256, 512])
    errors = [float(jnp.sqrt(jnp.mean((run(np.geomspace(10, 0.1, n + 1)) - exact) ** 2))) for n in counts]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope - row.order) < 0.15, errors


@pytest.mark.optimised  # it runs for longer than it compiles
@rows
def test_moments_of_a_gaussian(row):
    """From N(m, v) a sampler returns N(m, v): mean and variance within 4 standard errors, with steps to spare."""
    mean, variance, num = 0.4, 0.3, 4_000
    denoise = row.model(mean, variance)
    sigmas = row.grid(1_000)
    x = mean + np.sqrt(variance + sigmas[0] ** 2) * jax.random.normal(jax.random.key(5), (num, 1))
    out = np.asarray(sample(row.make(), denoise, x, sigmas, key=KEY))
    assert abs(out.mean() - mean) < 4 * np.sqrt(variance / num)
    assert abs(out.var() - variance) < 4 * variance * np.sqrt(2 / num)


@rows
def test_bad_grids_are_refused(row):
    for sigmas in ([1.0, 2.0, 0.0], [1.0], [1.0, 1.0], [1.0, -1.0], [np.inf, 1.0], [[1.0, 0.0]], *NOT_IN_FLOAT32):
        for dtype in (jnp.float32, jnp.bfloat16):
            with pytest.raises(ValueError, match="sigmas must"):
                sample(row.make(), DENOISE, start(2, dtype), np.array(sigmas), key=KEY)


def test_the_state_s_type_tells_levels_apart(x64):
    sigmas = np.array(NOT_IN_FLOAT32[0])
    with pytest.raises(ValueError, match=r"in float32 sigmas\[2\] = 1.0 follows sigmas\[1\] = 1.0"):
        encode(DENOISE, start(2).astype(jnp.float32), sigmas)
    with pytest.raises(ValueError, match="sigmas must decrease"):
        sample(heun(), DENOISE, start(2), jnp.asarray(sigmas, jnp.bfloat16))
    for run in (partial(sample, heun()), encode):
        assert jax.eval_shape(partial(run, DENOISE, sigmas=sigmas), start(2, jnp.float64)).dtype == jnp.float64


@pytest.mark.parametrize("make", [dpmpp_2m, *full(heun)])
def test_a_traced_grid_s_equal_levels_do_nothing(make):
    """Nor do they end a multistep method's memory, at the start or on the way; upwards nothing is made up."""
    run = jax.jit(partial(sample, make(), DENOISE))
    apart = run(start(2), jnp.array([2.0, 1.0, 0.5, 0.0]))
    for sigmas in ([2.0, 2.0, 1.0, 0.5, 0.0], [2.0, 1.0, 1.0 - 1e-9, 0.5, 0.0]):
        np.testing.assert_allclose(run(start(2), np.array(sigmas)), apart, rtol=1e-6)
    for sigmas in ([2.0, 1.0, 1.5, 0.5, 0.0], [2.0, 1.0, 0.5, 0.0, -1.0]):
        assert np.isnan(run(start(2), np.array(sigmas))).all()
    with pytest.raises(ValueError, match="sigmas must be a vector"):
        run(start(2), np.ones((3, 1)))


@rows
def test_a_denoiser_returns_floats_of_the_shape_of_x(row):
    one, pair = (lambda x, sigma: x[:, :1]), (lambda x, sigma: (x, x))
    for wrong in (one, pair, lambda x, sigma: jnp.ones(x.shape, int), lambda x, sigma: x[0], lambda x, sigma: [x]):
        with pytest.raises(ValueError, match=r"denoise must return floats of the shape of x, \[4, 2\], got"):
            jax.eval_shape(partial(sample, row.make(), wrong, sigmas=SIGMAS, key=KEY), start(4))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sample(heun, DENOISE, start(2), SIGMAS), "made by its constructor, such as heun.., got heun"),
        (lambda: sample(DENOISE, heun(), start(2), SIGMAS), "the order is .sampler, denoise, x, sigmas."),
        (lambda: sample(heun(), start(2), DENOISE, SIGMAS), r"denoise must be a function .* got float32 \[2, 2\]"),
        (lambda: trajectory(heun(), DENOISE, SIGMAS, start(2)), r"sigmas must be a vector .* got shape \[2, 2\]"),
        (lambda: trajectory(heun(), DENOISE, [1.0], SIGMAS), "x must be an array of real numbers, got a list"),
        (lambda: sample(heun(), lambda x, s: None, start(2), SIGMAS), "shape of x, .* got NoneType"),
        (lambda: sample(ddim(0.5), DENOISE, start(2), SIGMAS, key=3), "key must be made by jax.random.key, got 3"),
        (lambda: guide(DENOISE, DENOISE, jnp.ones(4))(start(2), 1.0), r"w must have shape \[\] or \[2\], got \[4\]"),
        (lambda: guide(DENOISE, lambda x, s: x[:1], 2.0)(start(2), 1.0), "uncond must return floats of the shape of x"),
        (lambda: classifier_guide(DENOISE, DENOISE, jnp.ones(3))(start(2), 1.0), r"w must have shape \[\] or \[2\]"),
        (lambda: guided(fixed(), DENOISE, [1.0, 2.0, 3.0])(DENOISE, start(2), 2.0, 1.0), r"w must have shape \[\] or"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_of_no_examples_none_are_drawn():
    assert sample(ddim(0.5), DENOISE, jnp.zeros((0, 2)), SIGMAS, key=KEY).shape == (0, 2)


def test_guidance_weighs_every_example():
    one, zero, w = lambda x, sigma: 0 * x + 1, lambda x, sigma: 0 * x, jnp.array([0.0, 3.0])
    assert guide(one, zero, w)(start(2), 1.0).tolist() == [[0.0, 0.0], [3.0, 3.0]]


@stochastic
def test_missing_or_wrong_draws_are_refused(row):
    run = partial(sample, row.make(), DENOISE, start(2), SIGMAS)
    shapes = jax.eval_shape(partial(draws, row.make(), num_steps=len(SIGMAS) - 1), KEY, start(2))
    noise = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    with pytest.raises(ValueError, match="either key= or noise=, got neither"):
        run()
    with pytest.raises(ValueError, match="either key= or noise=, got both"):
        run(key=KEY, noise=noise)
    with pytest.raises(ValueError, match="noise must be stacked"):
        run(noise=jax.tree.map(lambda a: a[1:], noise))
    with pytest.raises(ValueError, match="key must be one key or one an example"):
        run(key=jax.random.split(KEY, 3))


def test_a_legacy_key_is_as_good_as_a_typed_one():
    run = partial(sample, TABLE[-1].make(), DENOISE, start(2), SIGMAS)
    np.testing.assert_array_equal(run(key=jax.random.PRNGKey(3)), run(key=jax.random.key(3)))
