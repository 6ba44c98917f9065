"""sCM at the consistency function of Gaussian data, and its parts against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.losses.consistency import scm
from jaxdiff.timesteps import curricula
from jaxdiff.types import expand
from tests.support.gaussian_consistency import consistency_fn, denoise, draw, trigflow

SIGMA_DATA = 0.5
student = trigflow(consistency_fn(sigma_min=0.0), SIGMA_DATA)
teacher = trigflow(denoise, SIGMA_DATA)
wrong = trigflow(consistency_fn(jnp.array([0.0, 0.0]), sigma_min=0.0), SIGMA_DATA)


def points(num=256):
    x0, noise = draw(jax.random.key(0), num)
    return x0, jnp.linspace(0.05, 1.5, num), noise


def on_the_trajectory():
    x0, t, noise = points()
    x, _ = scm.trigflow_path(x0, t, noise, SIGMA_DATA)
    return x, t, SIGMA_DATA * teacher(x / SIGMA_DATA, t)


def test_tangent_is_zero_at_the_consistency_function(x64):
    _, g = scm.scm_tangent(student, *on_the_trajectory(), sigma_data=SIGMA_DATA)
    np.testing.assert_allclose(g, 0, atol=1e-12)
    assert np.abs(scm.scm_tangent(wrong, *on_the_trajectory(), sigma_data=SIGMA_DATA)[1]).max() > 0.1


def test_distillation_loss_is_zero_at_the_consistency_function(x64):
    x0, t, noise = points()
    np.testing.assert_allclose(scm.scd_loss(student, teacher, x0, t, noise, sigma_data=SIGMA_DATA), 0, atol=1e-20)


def test_training_tangent_is_zero_in_the_mean(x64):
    """Over the lines through a point the slope's mean is the teacher's, and the tangent is linear in the slope."""
    num = 400_000
    x0, noise = draw(jax.random.key(1), num)
    t = jnp.full(num, 0.8)
    x, slope = scm.trigflow_path(x0, t, noise, SIGMA_DATA)
    _, g = scm.scm_tangent(student, x, t, slope, sigma_data=SIGMA_DATA)
    for moment in (jnp.ones_like(x), x, x**2):
        product = g * moment
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(num)
    assert g.std() > 0.1


def test_tangent_is_cos_times_the_derivative_of_f(x64):
    """Against jax.jvp of f itself, at a network that is not consistent."""
    x, t, slope = on_the_trajectory()

    def f(x, t):
        cos, sin = expand(jnp.cos(t), x), expand(jnp.sin(t), x)
        return cos * x - sin * SIGMA_DATA * wrong(x / SIGMA_DATA, t)

    _, derivative = jax.jvp(f, (x, t), (slope, jnp.ones_like(t)))
    _, g = scm.scm_tangent(wrong, x, t, slope, sigma_data=SIGMA_DATA)
    np.testing.assert_allclose(g, expand(jnp.cos(t), x) * derivative, atol=1e-12)


def test_warmup_starts_at_the_denoiser_s_tangent(x64):
    """r = 0 leaves cos^2(t) (dx/dt - sigma_data F): the regression of the diffusion model, 0 at the teacher."""
    _, g = scm.scm_tangent(teacher, *on_the_trajectory(), sigma_data=SIGMA_DATA, warmup=0.0)
    np.testing.assert_allclose(g, 0, atol=1e-12)
    half, one, none = (
        scm.scm_tangent(wrong, *on_the_trajectory(), sigma_data=SIGMA_DATA, warmup=r)[1] for r in (0.5, 1.0, 0.0)
    )
    np.testing.assert_allclose(half, (one + none) / 2, atol=1e-13)
    np.testing.assert_allclose([curricula.tangent_warmup(k, 100) for k in (0, 25, 100, 400)], [0, 0.25, 1, 1])


def test_gradient_is_minus_twice_the_normalised_tangent(x64):
    """d loss / dF = -2 exp(w) / D g / (|g| + c), and no more than 2 exp(w) / D long however wrong the network is."""
    x0, noise = (jnp.tile(a, (1, 3)) for a in draw(jax.random.key(2), 8))
    t = jnp.linspace(0.1, 1.4, 8)
    x, slope = scm.trigflow_path(x0, t, noise, SIGMA_DATA)
    w = jnp.linspace(-1.0, 1.0, 8)

    def of(shift):
        network = lambda u, t: wrong(u, t) + shift  # noqa: E731
        return jnp.sum(scm.scm_loss(network, x, t, slope, sigma_data=SIGMA_DATA, log_weight=w, c=0.1))

    gradient = jax.grad(of)(jnp.zeros_like(x))
    _, g = scm.scm_tangent(wrong, x, t, slope, sigma_data=SIGMA_DATA)
    norm = jnp.linalg.norm(g, axis=1, keepdims=True)
    np.testing.assert_allclose(gradient, -2 * jnp.exp(w)[:, None] / 3 * g / (norm + 0.1), rtol=1e-10)


def test_adaptive_weight_learns_the_error(x64):
    """At the minimum in w, exp(-w(t)) is the mean squared error at t, so that exp(w) times it is 1 everywhere."""
    t = jnp.linspace(0.01, jnp.pi / 2 - 0.01, 400)
    error = jnp.exp(-1.0 + 2 * jnp.sin(t) ** 2)  # its logarithm is -1 + (1 - cos(2 t))

    def objective(a):
        w = scm.adaptive_log_weight(a, t)
        return jnp.mean(jnp.exp(w) * error - w)

    a = jnp.zeros(6)
    for _ in range(12):  # Newton: the objective is convex
        a = a - jnp.linalg.solve(jax.hessian(objective)(a), jax.grad(objective)(a))
    np.testing.assert_allclose(a, [0.0, 1.0, 0, 0, 0, 0], atol=1e-8)
    np.testing.assert_allclose(jnp.exp(scm.adaptive_log_weight(a, t)) * error, 1, rtol=1e-7)


def test_small_times_have_no_cancellation_error(x64):
    """float32 with c_noise = log(sigma), whose derivative is 1 / (cos sin): the tangent is that of float64."""

    def network(u, t):
        return jnp.tanh(u + expand(jnp.log(SIGMA_DATA * jnp.tan(t)) / 4, u))

    x0, noise = draw(jax.random.key(3), 16)
    t = jnp.geomspace(1e-3, 1.57, 16)
    single = [a.astype(jnp.float32) for a in (*scm.trigflow_path(x0, t, noise, SIGMA_DATA), t)]

    def tangent(x, slope, t):
        return scm.scm_tangent(network, x, t, slope, sigma_data=SIGMA_DATA)[1]

    expected = tangent(*(a.astype(jnp.float64) for a in single))
    g = tangent(*single)
    assert g.dtype == jnp.float32
    np.testing.assert_allclose(g, expected, atol=2e-5)


def test_bad_input():
    x0, t, noise = np.zeros((2, 3)), np.array([0.5, 1.0]), np.zeros((2, 3))
    network = lambda u, t: u  # noqa: E731
    with pytest.raises(ValueError, match=r"t must lie in \(0, pi / 2\], got \[0.5 1.6\]"):
        scm.sct_loss(network, x0, np.array([0.5, 1.6]), noise)
    with pytest.raises(ValueError, match=r"t must have shape \[2\]"):
        scm.sct_loss(network, x0, np.float64(0.5), noise)
    with pytest.raises(ValueError, match="noise must have the shape of x0"):
        scm.sct_loss(network, x0, t, np.zeros((2, 1)))
    with pytest.raises(ValueError, match="needs a teacher: teacher must be F"):
        scm.scd_loss(network, None, x0, t, noise)
    with pytest.raises(ValueError, match="c must be positive, got 0"):
        scm.sct_loss(network, x0, t, noise, c=0.0)
    with pytest.raises(ValueError, match="sigma_data must be positive"):
        scm.sct_loss(network, x0, t, noise, sigma_data=0.0)
    with pytest.raises(ValueError, match="slope must have the shape of x"):
        scm.scm_tangent(network, x0, t, np.zeros((2, 1)))
    with pytest.raises(ValueError, match="warmup_steps must be at least 1"):
        curricula.tangent_warmup(3, 0)
