"""Levels, times and steps given as integers are the numbers that they say: in every function of one, to all digits."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import losses, precond, predictions, timesteps
from jaxdiff.interop import consistency
from jaxdiff.losses import bits, distances, gaussian
from jaxdiff.losses.consistency import euler_solver, improved_training_loss, scm
from jaxdiff.nets.embeddings import positional
from jaxdiff.process import betas, posterior, reverse_kernel, schedules, sde
from jaxdiff.timesteps import curricula, pairs, times
from jaxdiff.train import ema, learning_rates

CHAIN = betas.linear(100)
PARAMETRISATIONS = {
    "edm": precond.edm(),
    "edm of whole data": precond.edm(1),
    "vp": precond.vp(),
    "ve": precond.ve(),
    "vdm": precond.vdm(),
    "iddpm": precond.iddpm(),
    "consistency": precond.consistency(),
    "consistency of whole data": precond.consistency(1, 1, 80, 250),
    "trigflow": precond.trigflow(),
    "trigflow of whole data": precond.trigflow(1),
    "precond.ddpm.eps": precond.ddpm.eps(CHAIN, 0.5),
    "precond.ddpm.v": precond.ddpm.v(CHAIN),
    "precond.ddpm.mu": precond.ddpm.mu(CHAIN),
    "precond.score_sde.eps": precond.score_sde.eps(sde.subvp(1, 20)),
}
SCHEDULES = {
    "ve": schedules.ve(),
    "vp": schedules.vp(),
    "preserving": schedules.variance_preserving(schedules.linear()),
}
SDES = {
    "vp": sde.vp(),
    "subvp": sde.subvp(),
    "ve": sde.ve(),
    "vp of whole betas": sde.vp(1, 20),
    "subvp of whole betas": sde.subvp(1, 20),
    "ve of whole levels": sde.ve(1, 50),
    "chain": sde.chain_marginals(sde.vp(), 50),
}
LEVELS = ("lognormal_sigma", "ve_sigma", "vp_sigma")
WEIGHTS = ("edm_weight", "inverse_variance", "snr_plus_one", "truncated_snr")
COLUMN = np.array([[1.0], [2.0], [0.3]])
FUNCTIONS = {
    **{
        f"{name}.{part}": getattr(parametrisation, part)
        for name, parametrisation in PARAMETRISATIONS.items()
        for part in parametrisation._fields
        if "sigma_m" not in part
    },
    **{f"schedules.{name}.{part}": getattr(s, part) for name, s in SCHEDULES.items() for part in s._fields},
    **{f"sde.{name}.{part}": getattr(s, part) for name, s in SDES.items() for part in ("f", "g", "a", "std", "time")},
    **{f"timesteps.{name}": getattr(timesteps, name) for name in LEVELS},
    **{f"losses.{name}": getattr(losses, name) for name in WEIGHTS},
    "interop.consistency": consistency.c_noise,
    "trigflow_sigma": precond.trigflow_sigma,
    "trigflow_time": lambda s: precond.trigflow_time(s, 1),
    "lognormal_sigma of whole numbers": lambda n: timesteps.lognormal_sigma(n, 0, 1),
    "edm_weight of whole data": lambda s: losses.edm_weight(s, 1),
    "v_from_x0": lambda s: predictions.from_x0(predictions.v, COLUMN, 2 * COLUMN, s),
    "x0_from_v": lambda s: predictions.to_x0(predictions.v, COLUMN, 2 * COLUMN, s),
    "posterior.mean": lambda s: posterior.mean(COLUMN, 2 * COLUMN, s + 1, s),
    "reverse_kernel.small": lambda s: reverse_kernel.small(s + 1, s),
    "reverse_kernel.large": lambda s: reverse_kernel.large(s + 1, s),
    "euler_solver": lambda s: euler_solver(lambda x, sigma: x / 3, COLUMN, s + 1, s),
    "ect_sigma_next": lambda s: timesteps.pairs.ect_sigma_next(s, 1, q=2.5, k=3.0, b=0.5),
    "adjacent_levels": lambda i: timesteps.pairs.adjacent_levels(i.astype(jnp.int32), i[2] + 4)[1],
    "progressive_levels": lambda i: pairs.progressive_levels(i.astype(jnp.int32), i[2] + 4)[1],
    "target_decay": lambda n: curricula.target_decay(n + 1),
    "half_life": lambda k: ema.half_life(k, 100, 5e5),
    "warmup": lambda k: learning_rates.warmup(1, 100, 1700)(k),
    "cooldown": lambda k: learning_rates.cooldown(lambda count: 1, 7, 1)(k),
    "cosine_by_epoch": learning_rates.cosine_by_epoch(1, 1, 7),
    "tangent_warmup": lambda k: curricula.tangent_warmup(k, 7),
    "discrete_times": lambda t: times.discrete_times(t, 7),
    "positional": lambda t: positional(t, 8),
    "adaptive_log_weight": lambda t: scm.adaptive_log_weight(np.ones(2), t),
    "improved_training_loss": lambda s: improved_training_loss(lambda x, sigma: x, COLUMN, s + 1, s, COLUMN),
    "guided": lambda s: reverse_kernel.guided(reverse_kernel.fixed(), lambda x, s: x)(lambda x, s: x, COLUMN, s + 1, s)[
        0
    ],
    "bits_per_dim": lambda nats: bits.bits_per_dim(nats, 12),
    "density_bits_per_dim": lambda nats: bits.density_bits_per_dim(nats, 12),
    "normal_log_prob": lambda a: gaussian.normal_log_prob(a, a + 1, a),
    "normal_kl": lambda a: gaussian.normal_kl(a, a, a + 1, a + 2),
    "discretized_gaussian": lambda a: gaussian.discretized_gaussian(np.array([0.0, 1.0, -1.0]), a, a, bins=3),
    "tanh_cdf": lambda a: gaussian.tanh_cdf(a - 1),
    "l1": lambda x: distances.l1(x[:, None], 0 * x[:, None]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_integers_are_the_numbers_that_they_say(name, x64):
    function = FUNCTIONS[name]
    expected, *found = (function(jnp.array([1, 2, 3], dtype)) for dtype in (jnp.float64, jnp.int32, jnp.uint8))
    assert expected.dtype == jnp.float64
    for integers in found:  # those without a sign wrap around at 0
        np.testing.assert_allclose(integers, expected, rtol=1e-14, atol=0)


def test_integer_levels_of_integer_data_do_not_wrap_around():
    data = np.array([[7], [200]], np.uint8)
    found, expected = (
        losses.denoising_loss(lambda x, sigma: 0.5 * x, x0, np.array([300, 2]), np.ones((2, 1)))
        for x0 in (data, data.astype(float))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_target_decay_is_its_formula(x64):
    num_scales = jnp.arange(2, 151, dtype=jnp.int32)
    decay = curricula.target_decay(num_scales, 0.95, 2)
    np.testing.assert_allclose(decay, np.exp(2 * np.log(0.95) / np.arange(1, 150)), rtol=1e-14)


def test_a_table_of_levels_is_not_cut_to_integers():
    for parametrisation in (precond.iddpm(), precond.ddpm.eps(CHAIN)):
        assert float(parametrisation.round_sigma(2)) == float(parametrisation.round_sigma(2.0)) != 2


def test_a_warmup_counts_more_images_than_an_integer_holds():
    assert float(learning_rates.warmup(1.0, 4096, 1e7)(jnp.int32(600_000))) == 1
