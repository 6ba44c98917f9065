"""Images between the references' NCHW and the library's NHWC, and how recorded arrays are compared."""

import jax.numpy as jnp
import numpy as np


def nhwc(image, dtype=np.float64):
    """[..., C, H, W] as a JAX array [..., H, W, C]."""
    return jnp.asarray(np.moveaxis(np.asarray(image, dtype), -3, -1))


def nchw(image):
    """[..., H, W, C] as a NumPy array [..., C, H, W]."""
    return np.moveaxis(np.asarray(image), -1, -3)


def close(actual, expected, rtol=1e-9):
    """Deviation relative to the largest magnitude of the array."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * max(np.abs(expected).max(), 1e-30))
