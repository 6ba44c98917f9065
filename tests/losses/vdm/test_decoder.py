"""The decoder of pixels is the normalised likelihood of z_0."""

import jax.numpy as jnp
import numpy as np

from jaxdiff.losses.vdm import decoder


def test_decoder_is_the_normalised_likelihood_of_z0(x64):
    x, gamma_0 = np.linspace(-1.3, 1.3, 31)[:, None], -2.0
    log_p = decoder.decode(jnp.asarray(x), gamma_0, 17)
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_p), axis=-1), 1, rtol=1e-12)
    centres = np.linspace(-1 + 1 / 17, 1 - 1 / 17, 17)
    likelihood = np.exp(-((x[..., None] - centres) ** 2) / (2 * np.exp(gamma_0)))
    np.testing.assert_allclose(jnp.exp(log_p), likelihood / likelihood.sum(-1, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(jnp.argmax(decoder.decode(jnp.asarray(centres), -8.0, 17), -1), np.arange(17))
