"""The bound of variational diffusion models against closed forms; every mean is an integral, none is a sample."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, process
from jaxdiff.losses import vdm
from jaxdiff.losses.vdm import decoder
from jaxdiff.process.gamma import Monotone, with_endpoints
from jaxdiff.timesteps import times

GAMMA_MIN, GAMMA_MAX = -6.0, 5.0
MEAN, VARIANCE = 0.3, 0.2
EPS, EPS_WEIGHT = np.polynomial.hermite_e.hermegauss(3)  # exact: the error of a linear denoiser is quadratic in noise
EPS_WEIGHT = EPS_WEIGHT / EPS_WEIGHT.sum()


def bent(t):
    """A learned schedule with random weights of both signs, far from a line."""
    net = Monotone(features=16)
    params = jax.tree.map(lambda a: 4 * a, net.init(jax.random.key(1), jnp.zeros(())))
    return net.apply(params, t)


SHAPES = {
    "linear": lambda t: t,
    "quadratic": lambda t: t + 3 * t**2,
    "sine": lambda t: t + jnp.sin(2 * jnp.pi * t) / 8,
    "monotone network": bent,
}


def schedule(shape="linear"):
    return with_endpoints(SHAPES[shape], GAMMA_MIN, GAMMA_MAX)


def unit_interval(nodes=128):
    """Gauss-Legendre times and weights on [0, 1]."""
    t, weight = np.polynomial.legendre.leggauss(nodes)
    return (t + 1) / 2, weight / 2


def gaussian():
    return gaussian_mixture.mixture([[MEAN]], variances=VARIANCE)


def exact(mixture):
    return process.vdm.as_eps_model(partial(gaussian_mixture.denoiser, mixture))


def product(*axes):
    """Every combination of nodes, each as one column [N]."""
    return [grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")]


def gaussian_mean(loss, t, t_weight):
    """Mean of a diffusion loss over times, Gaussian data and noise."""
    t, data, noise = product(t, MEAN + VARIANCE**0.5 * EPS, EPS)
    weight = np.prod(product(t_weight, EPS_WEIGHT, EPS_WEIGHT), axis=0)
    return float(np.sum(weight * jax.jit(loss)(data[:, None], t, noise[:, None])))


def continuous(shape="linear"):
    return gaussian_mean(partial(vdm.continuous_loss, exact(gaussian()), schedule(shape)), *unit_interval())


def discrete(num_steps):
    loss = partial(vdm.discrete_loss, exact(gaussian()), schedule(), num_steps=num_steps)
    t = times.discrete_times((np.arange(num_steps) + 0.5) / num_steps, num_steps)
    return gaussian_mean(loss, t, np.full(num_steps, 1 / num_steps))


def information(gamma):
    """I(f; z) = 1/2 log(1 + v exp(-gamma)) of Gaussian data."""
    return np.log1p(VARIANCE * np.exp(-gamma)) / 2


@pytest.mark.parametrize("shape", SHAPES)
def test_continuous_loss_is_the_information_lost_whatever_the_shape_of_gamma(shape, x64):
    """Kingma et al. 2021, section 5.1: an integral over gamma, here the difference of two mutual informations."""
    expected = information(GAMMA_MIN) - information(GAMMA_MAX)
    np.testing.assert_allclose(continuous(shape), expected, rtol=1e-9)


@pytest.mark.parametrize("num_steps", [1, 5])
def test_discrete_loss_is_the_drop_in_signal_to_noise_times_the_error_in_x0(num_steps, x64):
    """Kingma et al. 2021, Eq. 13: 1/2 sum of (SNR(s) - SNR(t)) E(x0 - D)^2; E = v sigma^2 / (v + sigma^2)."""
    variance = np.exp(np.linspace(GAMMA_MIN, GAMMA_MAX, num_steps + 1))
    error = VARIANCE * variance / (VARIANCE + variance)
    expected = np.sum((1 / variance[:-1] - 1 / variance[1:]) * error[1:]) / 2
    np.testing.assert_allclose(discrete(num_steps), expected, rtol=1e-9)


def test_discrete_loss_bounds_the_continuous_from_above_with_a_gap_of_order_one_over_steps(x64):
    steps = 2 ** np.arange(2, 10)
    gap = np.array([discrete(int(n)) for n in steps]) - continuous()
    assert np.all(gap > 0)
    slope = np.diff(np.log2(gap))
    assert np.all(slope < 0)
    assert abs(slope[-1] + 1) < 0.02


def trapezoid(low, high, nodes):
    """Nodes and weights; accurate to rounding for smooth functions that vanish at both ends."""
    x = np.linspace(low, high, nodes)
    return x, np.full(nodes, x[1] - x[0])


def normal(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


BINS = 4
BINS_GAMMA_MIN = -4.0  # neighbouring bins still overlap a little at t = 0


def mean_bound(bound, t, t_weight):
    """-ELBO of every grey value, the mean over times and noises; the same nodes serve both, as terms add up."""
    eps, width = trapezoid(-9.0, 9.0, 181)
    grey, time, noise = product(np.arange(BINS), t, eps)
    weight = np.prod(product(np.ones(BINS), t_weight, width * normal(eps, 0, 1)), axis=0)
    terms = jax.jit(lambda t, noise: bound(grey[:, None], t, noise, noise))(time, noise[:, None])
    return np.sum((weight * terms.total).reshape(BINS, -1), axis=1)


@pytest.mark.parametrize("shape", ["linear", "quadratic"])
def test_bound_with_the_exact_denoiser_is_the_entropy_of_the_data(shape, x64):
    """For equally likely grey values the decoder is the posterior, so that E[-ELBO] = log V + KL(q(z_1) || N(0, 1))."""
    centres = np.asarray(decoder.encode(np.arange(BINS), BINS))
    gamma = with_endpoints(SHAPES[shape], BINS_GAMMA_MIN, GAMMA_MAX)
    model = exact(gaussian_mixture.mixture(centres[:, None], variances=0.0))
    bound = np.mean(mean_bound(partial(vdm.vdm_elbo, model, gamma, bins=BINS), *unit_interval(48)))
    alpha, sigma = (np.asarray(a) for a in process.vdm.alpha_sigma(GAMMA_MAX, jnp.zeros(1)))
    z, width = trapezoid(-9.0, 9.0, 2001)
    q = np.mean([normal(z, alpha * f, sigma**2) for f in centres], axis=0)
    mismatch = np.sum(width * q * np.log(q / normal(z, 0, 1)))
    assert mismatch > 1e-8
    np.testing.assert_allclose(bound, np.log(BINS) + mismatch, rtol=1e-9)
    assert bound > np.log(BINS)


def evidence(model, gamma, num_steps):
    """Exact p(grey value) of a T-step model whose denoiser is linear: z_0 is Gaussian, by the reverse steps alone."""
    mean, variance = 0.0, 1.0
    basis, noise = jnp.array([[0.0], [1.0], [0.0]]), jnp.array([[0.0], [0.0], [1.0]])
    step = jax.jit(partial(process.vdm.reverse_step, model))
    for i in range(num_steps, 0, -1):
        ends = (gamma(jnp.asarray(j / num_steps)) for j in (i, i - 1))
        offset, from_z, from_noise = (float(row[0]) for row in step(basis, *ends, noise))
        mean = offset + (from_z - offset) * mean
        variance = (from_z - offset) ** 2 * variance + (from_noise - offset) ** 2
    z, width = trapezoid(mean - 10 * variance**0.5, mean + 10 * variance**0.5, 4001)
    x = jnp.asarray(z) / process.vdm.alpha_sigma(BINS_GAMMA_MIN, jnp.zeros(1))[0]
    p_grey = jnp.exp(decoder.decode(x, BINS_GAMMA_MIN, BINS))
    return np.sum((width * normal(z, mean, variance))[:, None] * p_grey, axis=0)


def test_bound_of_every_grey_value_is_above_its_exact_negative_log_evidence(x64):
    gamma = with_endpoints(SHAPES["linear"], BINS_GAMMA_MIN, GAMMA_MAX)
    model = exact(gaussian_mixture.mixture([[0.1]], variances=0.3))
    gaps = []
    for num_steps in (1, 4, 16, 64):
        p_grey = evidence(model, gamma, num_steps)
        np.testing.assert_allclose(p_grey.sum(), 1, rtol=1e-9)
        bound = partial(vdm.vdm_elbo, model, gamma, bins=BINS, num_steps=num_steps)
        t = (np.arange(num_steps) + 0.5) / num_steps
        gaps.append(mean_bound(bound, t, np.full(num_steps, 1 / num_steps)) + np.log(p_grey))
    assert np.all(np.array(gaps) > 0)
    assert np.all(np.diff(np.mean(gaps, axis=1)) < 0), "more steps, a tighter bound"


def test_prior_loss_keeps_its_digits_in_float32():
    """At gamma_1 = 5, sigma^2 - log(sigma^2) - 1 is 2e-5: the difference of numbers near 1 would lose three digits."""
    variance = 1 / (1 + np.exp(-5.0))
    expected = 3072 * (variance - np.log(variance) - 1) / 2
    np.testing.assert_allclose(vdm.prior_loss(jnp.zeros((1, 3072)), 5.0), [expected], rtol=1e-4)


def bound(pixels, **kwargs):
    noise = jnp.ones(np.shape(pixels))
    options = {"t": np.full(len(pixels), 0.5), "noise_0": noise, "noise": noise, **kwargs}
    return vdm.vdm_elbo(lambda z, gamma: 0 * z, lambda t: 9 * t - 5, pixels, **options)


@pytest.mark.parametrize(
    ("pixels", "kwargs", "says"),
    [
        (np.array([[0.0]]), {}, "integer type"),
        (jnp.array([[0.5]]), {}, "integer type"),
        (np.array([[True]]), {}, "integer type"),
        (np.array([[256]]), {}, "lie in 0 to 255"),
        (jnp.array([[-1]]), {}, "lie in 0 to 255"),
        (np.array([[17]], np.uint8), {"bins": 17}, "lie in 0 to 16"),
        (np.array([[0]]), {"bins": 1}, "bins"),
        (np.array([[0]]), {"t": np.array([1.5])}, r"t must lie in \[0, 1\]"),
        (np.array([[0]]), {"t": np.array([1.5]), "num_steps": 4}, r"t must lie in \[0, 1\]"),
        (np.array([[0]]), {"noise_0": jnp.ones((1, 2))}, "noise must have the shape of pixels"),
        (np.array([[0]]), {"num_steps": 0}, "num_steps"),
        (np.array([[0]]), {"num_steps": 2.5}, "num_steps"),
    ],
)
def test_pixels_off_the_grid_and_other_bad_input_are_refused(pixels, kwargs, says):
    with pytest.raises(ValueError, match=says):
        bound(pixels, **kwargs)


def test_pixels_off_the_grid_are_refused_by_type_and_become_nan_by_value_under_jit():
    run = jax.jit(bound)
    with pytest.raises(ValueError, match="integer type"):
        run(jnp.array([[0.5]]))
    for term in run(jnp.array([[3], [256], [-1]])):
        np.testing.assert_array_equal(np.isnan(term), [False, True, True])


@pytest.mark.parametrize(
    ("t", "noise", "says"),
    [
        (np.array([0.5]), jnp.ones((2, 3)), "t must have shape"),
        (np.array([0.5, 1.5]), jnp.ones((2, 3)), r"t must lie in \[0, 1\]"),
        (np.array([0.5, -0.5]), jnp.ones((2, 3)), "t must lie in"),
        (np.array([0.5, 0.5]), jnp.ones((2, 1)), "noise must have the shape"),
    ],
)
def test_shapes_and_times_are_checked(t, noise, says):
    with pytest.raises(ValueError, match=says):
        vdm.continuous_loss(lambda z, g: z, lambda t: t, jnp.zeros((2, 3)), t, noise)
