"""The DDGAN sampler with an exact draw from p(x0 | x), so that few large steps are exact too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, process
from jaxdiff.samplers import ddgan, direct, sample, trajectory, x0_sampler
from tests.support.tiers import full

lengths = pytest.mark.parametrize("num_steps", [1, 2, 4])
MIXTURE = gaussian_mixture.mixture([[-1.0], [0.5]], [0.3, 0.7], [0.01, 0.04])
KEY = jax.random.key(0)


def exact_draw(x, sigma, latent):
    """Of p(x0 | x) for the mixture: one latent number chooses the component, the other the place in it."""
    means, weights, variances = (jnp.asarray(a, x.dtype) for a in MIXTURE)
    total = variances + sigma**2
    logits = jnp.log(weights)[None] - (x - means.T) ** 2 / (2 * total)[None] - jnp.log(total)[None] / 2
    share = jnp.cumsum(jax.nn.softmax(logits, axis=1), axis=1)
    component = jnp.sum(jax.scipy.stats.norm.cdf(latent[:, :1]) > share[:, :-1], axis=1)
    gain = (variances / total)[component]
    mean = means[component, 0] + gain * (x[:, 0] - means[component, 0])
    return (mean + jnp.sqrt(gain) * sigma * latent[:, 1])[:, None]


@pytest.mark.optimised  # it runs for longer than it compiles
@pytest.mark.parametrize("num_steps", [1, *full(2), 4])
def test_few_steps_are_exact_where_the_draw_is(num_steps):
    """The mixture's mean, variance and skewness after any number of steps; a denoiser has only the mean at T = 1."""
    num, grid = 100_000, process.betas.sigmas(process.betas.vp(num_steps))
    x = gaussian_mixture.sample(MIXTURE, jax.random.key(1), num) + grid[0] * jax.random.normal(
        jax.random.key(2), (num, 1)
    )
    out = np.asarray(sample(ddgan(2), exact_draw, x, grid, key=KEY))[:, 0]
    data = np.asarray(gaussian_mixture.sample(MIXTURE, jax.random.key(3), num))[:, 0]
    for power in (1, 2, 3):
        spread = np.sqrt((np.var(out**power) + np.var(data**power)) / num)
        assert abs(np.mean(out**power) - np.mean(data**power)) < 4 * spread


def test_the_latent_is_fresh_every_step_and_example():
    seen = []

    def generator(x, sigma, latent):
        jax.debug.callback(lambda latent: seen.append(np.array(latent)), latent, ordered=True)
        return 0 * x

    jax.block_until_ready(
        sample(ddgan(3), generator, jnp.ones((5, 2)), process.betas.sigmas(process.betas.vp(4)), key=KEY)
    )
    jax.effects_barrier()
    assert len(np.unique(np.stack(seen))) == 4 * 5 * 3


@lengths
def test_the_last_step_returns_x0_itself(num_steps):
    generator = lambda x, sigma, latent: jnp.sin(latent)  # noqa: E731
    grid = process.betas.sigmas(process.betas.vp(num_steps))
    noise = jax.random.normal(KEY, (num_steps, 3, 2)), jax.random.normal(KEY, (num_steps, 3, 2))
    out = sample(ddgan(2), generator, jnp.ones((3, 2)), grid, noise=noise)
    np.testing.assert_array_equal(out, jnp.sin(noise[0][-1]))


def test_direct_returns_the_network_s_images_in_native_coordinates():
    betas = process.betas.vp(4)
    grid = process.betas.sigmas(betas)
    model = x0_sampler(lambda params, x, t, latent: x / 2 + t[:, None], None, betas)
    start = jnp.full((1, 1), 8.0)
    _, xs = trajectory(ddgan(0, transition=direct()), model, start * np.sqrt(1 + grid[0] ** 2), grid, key=KEY)
    native = np.asarray(xs)[:, 0, 0] / np.sqrt(1 + grid**2)
    np.testing.assert_allclose(native, [8.0, 7.0, 5.5, 3.75, 1.875], rtol=1e-5)


def test_x0_sampler_tells_the_network_its_index_and_its_coordinates():
    betas = process.betas.vp(8)
    denoise = x0_sampler(lambda params, x, t, latent: jnp.stack([x[:, 0], t.astype(x.dtype)], axis=1), None, betas)
    for t, sigma in enumerate(process.betas.sigmas(betas)[:-1][::-1]):
        for level in (sigma, jnp.full(2, sigma)):
            found = denoise(jnp.full((2, 2), np.sqrt(1 + sigma**2)), level, jnp.zeros((2, 0)))
            np.testing.assert_allclose(found, [[1.0, t]] * 2, rtol=1e-6)


def test_no_latent_is_a_latent_of_no_numbers():
    shapes = []

    def generator(x, sigma, latent):
        shapes.append(latent.shape)
        return x

    sample(ddgan(0), generator, jnp.ones((2, 3)), process.betas.sigmas(process.betas.vp(2)), key=KEY)
    assert set(shapes) == {(2, 0)}


def test_bad_input():
    with pytest.raises(ValueError, match="latent_dim must be at least 0, got -1"):
        ddgan(-1)
