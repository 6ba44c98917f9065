"""Consistency losses at the consistency function of Gaussian data."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.losses import consistency, distances, progressive
from jaxdiff.losses.consistency.continuous import ode_slope, tangent
from jaxdiff.timesteps.pairs import uniform_levels
from jaxdiff.types import expand
from tests.support.gaussian_consistency import SPAN, consistency_fn, denoise, draw

NUM = 4096
f = consistency_fn()


def levels_of(num_scales, num=NUM):
    return uniform_levels((jnp.arange(num) + 0.5) / num, num_scales, **SPAN)


def slope_of(loss):
    """Exponent p of loss ~ N^p from fine grids."""
    scales = np.array([129, 257, 513, 1025])
    values = [float(jnp.mean(loss(*levels_of(int(n))))) for n in scales]
    return np.polyfit(np.log(scales - 1), np.log(values), 1)[0]


@pytest.mark.parametrize(
    ("step", "order"), [(consistency.euler_solver, 2), (consistency.heun_solver, 3)], ids=["euler", "heun"]
)
@pytest.mark.parametrize(("distance", "power"), [(distances.l1, 1), (distances.l2, 2)], ids=["l1", "l2"])
def test_distillation_vanishes_as_the_teacher_s_step_errs(step, order, distance, power, x64):
    """One step errs by O(h^(p + 1)), h = 1 / (N - 1), and f carries the error to its output: N^-2 and N^-3 in l1."""
    x0, noise = draw(jax.random.key(0), NUM)

    @jax.jit
    def loss(sigma, sigma_next):
        return consistency.distillation_loss(
            f, f, denoise, x0, sigma, sigma_next, noise, distance=distance, solver=step
        )

    assert abs(slope_of(loss) + order * power) < 0.15


@pytest.mark.parametrize(("distance", "power"), [(distances.l1, 1), (distances.l2, 2)], ids=["l1", "l2"])
def test_training_vanishes_as_the_levels_close_up(distance, power, x64):
    """The data's line leaves the trajectory at once, by O(h): N^-1 in l1, N^-2 in squares."""
    x0, noise = draw(jax.random.key(0), NUM)

    @jax.jit
    def loss(sigma, sigma_next):
        return consistency.training_loss(f, f, x0, sigma, sigma_next, noise, distance=distance)

    assert abs(slope_of(loss) + power) < 0.15


def test_training_s_gradient_approaches_distillation_s(x64):
    """Theorem 2 of Song et al. 2023: (N - 1) times the gradients come together; neither vanishes off the truth."""
    x0, noise = draw(jax.random.key(0), 200_000)
    wrong = jnp.array([0.0, 0.0])

    @jax.jit
    def gradients(sigma, sigma_next):
        def mean(kind):
            def of(params):
                g, target = consistency_fn(params), consistency_fn(wrong)
                arguments = (x0, sigma, sigma_next, noise)
                if kind == "ct":
                    return jnp.mean(consistency.training_loss(g, target, *arguments, distance=distances.l2))
                return jnp.mean(consistency.distillation_loss(g, target, denoise, *arguments, distance=distances.l2))

            return of

        return jax.grad(mean("ct"))(wrong), jax.grad(mean("cd"))(wrong)

    differences, scales = [], (5, 9, 17)
    for n in scales:
        ct, cd = gradients(*levels_of(n, len(x0)))
        assert np.linalg.norm(cd) * (n - 1) > 0.1
        differences.append(np.linalg.norm(ct - cd) * (n - 1))
    assert differences[2] < 0.5 * differences[0]


def test_target_at_level_zero_is_the_data(x64):
    """f(x, 0) = x needs no network, which may not be finite there: ECT's first stage is denoising."""
    x0, noise = draw(jax.random.key(2), 16)
    sigma, zero = jnp.full(16, 2.0), jnp.zeros(16)

    def loss(w):
        def g(x, sigma):
            return w * x / jnp.log(expand(sigma, x))  # not finite at 0

        return consistency.improved_training_loss(g, x0, sigma, zero, noise, c=0.0)

    x = x0 + 2 * noise
    np.testing.assert_allclose(loss(1.5), jnp.abs(1.5 * x / jnp.log(2.0) - x0)[:, 0] / 2, rtol=1e-12)
    assert np.isfinite(jax.grad(lambda w: jnp.sum(loss(w)))(1.5))


def test_stop_gradient_is_on_the_target_only(x64):
    """Gradient with respect to the target's parameters is 0 unless it is let through."""
    x0, noise = draw(jax.random.key(3), 8)
    sigma, sigma_next = levels_of(9, 8)

    def gradient(**how):
        def mean(params):
            return jnp.sum(
                consistency.training_loss(
                    f, consistency_fn(params), x0, sigma, sigma_next, noise, distance=distances.l2, **how
                )
            )

        return jax.grad(mean)(jnp.array([0.0, 0.0]))

    np.testing.assert_array_equal(gradient(), 0)
    assert np.abs(gradient(stop=lambda y: y)).min() > 0


def test_two_sides_see_the_same_dropout():
    """A key that both sides close over drops the same activations: where levels and points agree, so do outputs."""
    x0 = jnp.ones((4, 32))

    def dropped(key):
        return lambda x, sigma: x0 * jax.random.bernoulli(key, 0.5, x.shape)

    sigma, sigma_next = levels_of(9, 4)
    same = dropped(jax.random.key(0))
    run = partial(consistency.training_loss, distance=distances.l1)
    assert jnp.all(run(same, same, x0, sigma, sigma_next, x0) == 0)
    assert jnp.all(run(same, dropped(jax.random.key(1)), x0, sigma, sigma_next, x0) > 0)


def test_values_per_example_ignore_the_other_examples(x64):
    x0, noise = draw(jax.random.key(4), 6)
    sigma, sigma_next = levels_of(9, 6)

    def run(part):
        arguments = (x0[part], sigma[part], sigma_next[part], noise[part])
        return consistency.distillation_loss(f, f, denoise, *arguments, distance=distances.l2)

    np.testing.assert_allclose(run(slice(None))[2:], run(slice(2, None)), rtol=1e-12)


class TestBadInput:
    x0 = np.zeros((3, 2))
    sigma, sigma_next = np.array([3.0, 2.0, 1.0]), np.array([2.0, 1.0, 0.5])

    def test_no_teacher(self):
        arguments = (self.x0, self.sigma, self.sigma_next, self.x0)
        with pytest.raises(ValueError, match="needs a teacher: denoise_teacher must be D"):
            consistency.distillation_loss(f, f, None, *arguments, distance=distances.l2)
        with pytest.raises(ValueError, match="needs a teacher"):
            ode_slope(None, self.x0, self.sigma)
        with pytest.raises(ValueError, match="needs a teacher"):
            progressive.two_step_target(None, self.x0, self.sigma, self.sigma_next, self.sigma_next / 2)

    @pytest.mark.parametrize("swap", [True, False])
    def test_levels_that_do_not_decrease(self, swap):
        pair = (self.sigma_next, self.sigma) if swap else (self.sigma, -self.sigma_next)
        with pytest.raises(ValueError, match="sigma > sigma_next >= 0"):
            consistency.training_loss(f, f, self.x0, *pair, self.x0, distance=distances.l2)

    def test_shapes(self):
        run = partial(consistency.training_loss, f, f, distance=distances.l2)
        with pytest.raises(ValueError, match=r"sigma_next must have shape \[3\]"):
            run(self.x0, self.sigma, np.zeros(2), self.x0)
        with pytest.raises(ValueError, match=r"sigma must have shape \[3\]"):
            run(self.x0, np.float64(1.0), self.sigma_next, self.x0)
        with pytest.raises(ValueError, match=r"noise must have the shape of x0, \[3, 2\]"):
            run(self.x0, self.sigma, self.sigma_next, np.zeros((3, 1)))
        with pytest.raises(ValueError, match="slope must have the shape of x"):
            tangent(f, self.x0, self.sigma, np.zeros((3, 1)))
        with pytest.raises(ValueError, match="sigma must have shape"):
            tangent(f, self.x0, np.zeros(1), self.x0)
