"""Steps of a discrete process: importance weights and antithetic pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.timesteps import steps


def test_importance_weights_keep_the_loss_unbiased():
    history = steps.LossHistory(jnp.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]]), jnp.array([2, 2, 2]))
    probabilities = steps.importance_probabilities(history, uniform_prob=0.1)
    grid = (jnp.arange(30_000) + 0.5) / 30_000
    t, weight = steps.importance_steps(grid, probabilities)
    losses = jnp.array([1.0, 2.0, 5.0])
    np.testing.assert_allclose(jnp.mean(weight * losses[t]), losses.mean(), rtol=1e-3)


@pytest.mark.parametrize("batch", [1, 2, 7, 8])
def test_antithetic_steps_pair_up(batch):
    t = steps.antithetic_steps(jax.random.uniform(jax.random.key(0), (-(-batch // 2),)), 10, batch)
    assert t.shape == (batch,)
    pairs = batch // 2
    assert (t[:pairs] + t[-(-batch // 2) :][:pairs]).tolist() == [9] * pairs


def test_bad_input():
    with pytest.raises(ValueError, match=r"uniform must be \[4\] for a batch of 8, got \[3\]"):
        steps.antithetic_steps(jnp.zeros(3), 10, 8)
