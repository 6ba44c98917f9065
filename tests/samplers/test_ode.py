"""The ODE in time: its special cases are the samplers written in sigma."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, grids
from jaxdiff.process import schedules
from jaxdiff.samplers import churn, euler, euler_step, heun, ode, sample, second_order_step

MIXTURE = gaussian_mixture.mixture([[-1.0, 0.3], [0.6, -0.5], [0.9, 0.9]], [0.5, 0.3, 0.2], [0.04, 0.02, 0.09])
DENOISE = partial(gaussian_mixture.denoiser, MIXTURE)


def start(num=5):
    return 80 * jax.random.normal(jax.random.key(0), (num, 2), jnp.float64)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: churn(s, 40, 0.05, 50, 1.003)], ids=["alg1", "alg2"])
@pytest.mark.parametrize(("solver", "special"), [(second_order_step(), heun()), (euler_step, euler())])
def test_linear_time_is_the_edm_sampler(solver, special, wrap, x64):
    run = partial(sample, denoise=DENOISE, x=start(), sigmas=grids.karras(18), key=jax.random.key(1))
    in_time, in_sigma = run(wrap(ode(schedules.linear(), solver))), run(wrap(special))
    np.testing.assert_allclose(in_time, in_sigma, rtol=1e-12, atol=1e-12)


def test_every_schedule_solves_the_same_ode(x64):
    """With many steps, all of them end where the fine solution ends."""
    sigmas = grids.karras(1500, sigma_min=0.01)[:-1]
    exact = sample(heun(), DENOISE, start(), sigmas)
    for made in (schedules.ve(), schedules.vp()):
        for schedule in (made, schedules.variance_preserving(made)):
            out = sample(ode(schedule), DENOISE, start(), sigmas)
            np.testing.assert_allclose(out, exact, atol=2e-4)


@pytest.mark.parametrize("schedule", [schedules.linear(), schedules.ve(), schedules.vp(), schedules.vp(17.0, -0.01)])
def test_sigma_inv_inverts_sigma(schedule, x64):
    sigma = np.geomspace(0.05, 100, 30)
    np.testing.assert_allclose(schedule.sigma(schedule.sigma_inv(sigma)), sigma, rtol=1e-10)
    assert schedule.sigma_inv(0.0) == 0


def test_vp_keeps_its_digits_at_small_times():
    """sigma^2 = beta_min t + O(t^2): in float32, exp(...) - 1 would round to a multiple of 1.2e-7."""
    t = np.float32(1e-6)
    assert schedules.vp().sigma(t) ** 2 == pytest.approx(0.1 * 1e-6 * (1 + 19.9 / 0.2 * 1e-6), rel=1e-5)


def test_alpha_is_checked():
    with pytest.raises(ValueError, match="alpha"):
        second_order_step(0.0)
    with pytest.raises(ValueError, match="beta_d"):
        schedules.vp(-1.0)
