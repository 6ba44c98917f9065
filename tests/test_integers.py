"""Levels, times and steps given as integers are the numbers that they say: in every function of one, to all digits."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import betas, boundary, chain, continuous, losses, precond, predictions, reverse, schedules, sde
from jaxdiff.interop import consistency
from jaxdiff.losses import consistency_levels as levels
from jaxdiff.losses import consistency_schedules, distances, likelihood, progressive, scm, vdm
from jaxdiff.losses.consistency import euler_step, improved_training_loss
from jaxdiff.nets.embeddings import positional
from jaxdiff.train import adversarial, ema

CHAIN = betas.linear(100)
ROWS = {
    "edm": precond.edm(),
    "edm of whole data": precond.edm(1),
    "vp": precond.vp(),
    "ve": precond.ve(),
    "vdm": precond.vdm(),
    "iddpm": precond.iddpm(),
    "consistency": boundary.consistency(),
    "consistency of whole data": boundary.consistency(1, 1, 80, 250),
    "additive": boundary.additive(),
    "trigflow": boundary.trigflow(),
    "trigflow of whole data": boundary.trigflow(1),
    "chain.eps": chain.eps(CHAIN, 0.5),
    "chain.v": chain.v(CHAIN),
    "chain.mu": chain.mu(CHAIN),
    "continuous": continuous.eps(sde.subvp(1, 20)),
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
LOSSES = ("lognormal_sigma", "ve_sigma", "vp_sigma", "edm_weight", "inverse_variance", "snr_plus_one", "truncated_snr")
COLUMN = np.array([[1.0], [2.0], [0.3]])
FUNCTIONS = {
    **{
        f"{name}.{part}": getattr(row, part)
        for name, row in ROWS.items()
        for part in row._fields
        if "sigma_m" not in part
    },
    **{f"schedules.{name}.{part}": getattr(s, part) for name, s in SCHEDULES.items() for part in s._fields},
    **{f"sde.{name}.{part}": getattr(s, part) for name, s in SDES.items() for part in ("f", "g", "a", "std", "time")},
    **{f"losses.{name}": getattr(losses, name) for name in LOSSES},
    "interop.consistency": consistency.c_noise,
    "trigflow_sigma": boundary.trigflow_sigma,
    "trigflow_time": lambda s: boundary.trigflow_time(s, 1),
    "lognormal_sigma of whole numbers": lambda n: losses.lognormal_sigma(n, 0, 1),
    "edm_weight of whole data": lambda s: losses.edm_weight(s, 1),
    "v_from_x0": lambda s: predictions.v_from_x0(COLUMN, 2 * COLUMN, s),
    "x0_from_v": lambda s: predictions.x0_from_v(COLUMN, 2 * COLUMN, s),
    "mu_from_x0": lambda s: predictions.mu_from_x0(COLUMN, 2 * COLUMN, s + 1, s),
    "reverse.small": lambda s: reverse.small(s + 1, s),
    "reverse.large": lambda s: reverse.large(s + 1, s),
    "euler_step": lambda s: euler_step(lambda x, sigma: x / 3, COLUMN, s + 1, s),
    "ect_sigma_next": lambda s: levels.ect_sigma_next(s, 1, q=2.5, k=3.0, b=0.5),
    "neighbours": lambda i: levels.neighbours(i.astype(jnp.int32), i[2] + 4)[1],
    "halved_levels": lambda i: progressive.halved_levels(i.astype(jnp.int32), i[2] + 4)[1],
    "target_decay": lambda n: consistency_schedules.target_decay(n + 1),
    "half_life": lambda k: ema.half_life(k, 100, 5e5),
    "warmup": lambda k: ema.warmup(1, 100, 1700)(k),
    "cooldown": lambda k: ema.cooldown(lambda count: 1, 7, 1)(k),
    "cosine_by_epoch": adversarial.cosine_by_epoch(1, 1, 7),
    "tangent_warmup": lambda k: scm.tangent_warmup(k, 7),
    "discrete_times": lambda t: vdm.discrete_times(t, 7),
    "positional": lambda t: positional(t, 8),
    "adaptive_log_weight": lambda t: scm.adaptive_log_weight(np.ones(2), t),
    "improved_training_loss": lambda s: improved_training_loss(lambda x, sigma: x, COLUMN, s + 1, s, COLUMN),
    "guided": lambda s: reverse.guided(reverse.fixed(), lambda x, s: x)(lambda x, s: x, COLUMN, s + 1, s)[0],
    "bits_per_dim": lambda nats: likelihood.bits_per_dim(nats, 12),
    "density_bits_per_dim": lambda nats: likelihood.density_bits_per_dim(nats, 12),
    "normal_log_prob": lambda a: likelihood.normal_log_prob(a, a + 1, a),
    "normal_kl": lambda a: likelihood.normal_kl(a, a, a + 1, a + 2),
    "discretized_gaussian": lambda a: likelihood.discretized_gaussian(np.array([0.0, 1.0, -1.0]), a, a, bins=3),
    "tanh_cdf": lambda a: likelihood.tanh_cdf(a - 1),
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
    decay = consistency_schedules.target_decay(num_scales, 0.95, 2)
    np.testing.assert_allclose(decay, np.exp(2 * np.log(0.95) / np.arange(1, 150)), rtol=1e-14)


def test_a_table_of_levels_is_not_cut_to_integers():
    for row in (precond.iddpm(), chain.eps(CHAIN)):
        assert float(row.round_sigma(2)) == float(row.round_sigma(2.0)) != 2


def test_a_warmup_counts_more_images_than_an_integer_holds():
    assert float(ema.warmup(1.0, 4096, 1e7)(jnp.int32(600_000))) == 1
