"""The ends of a variational diffusion model that touch pixels: grey values 0 .. V - 1 to [-1, 1], and p(pixels | z_0).

Pixels are integers. What is not on that grid is refused: by its type always, by its value where it can be seen, and
under jit a value out of range becomes NaN, so that no likelihood is computed for it silently.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses.per_example import check_shape, sum_pixels
from jaxdiff.types import Array, ArrayLike, Batch, Float, expand, state_type


def encode(pixels: ArrayLike, bins: int = 256) -> Batch:
    """Encode pixels as the centres of V equal bins of [-1, 1]: f = (2 pixels + 1) / V - 1.

    Args:
      pixels: integers in [0, V), of any shape.
      bins: V, number of grey values.
    Returns: float32 (float64 under x64) in the shape of pixels; NaN where a traced pixel is out of range.
    Raises: ValueError when pixels are not of an integer type, when their values can be seen and are not in [0, V), or
      when bins is not an integer above 1.
    Reference: Kingma et al. 2021, section 3.3 and Appendix B.
    Example:
      >>> encode(jnp.array([0, 1, 2, 3]), bins=4).tolist()
      [-0.75, -0.25, 0.25, 0.75]
    """
    if bins != int(bins) or bins < 2:
        raise ValueError(f"bins must be an integer above 1, got {bins}")
    pixels = pixels if isinstance(pixels, jax.Array) else np.asarray(pixels)
    if not jnp.issubdtype(pixels.dtype, jnp.integer):
        raise ValueError(f"pixels must be of an integer type, 0 to {bins - 1}, got {pixels.dtype}")
    # What is traced, or lies on other hosts too, cannot be looked at.
    if not isinstance(pixels, jax.core.Tracer) and getattr(pixels, "is_fully_addressable", True):
        seen = np.asarray(pixels)
        if seen.size and not (seen.min() >= 0 and seen.max() < bins):
            raise ValueError(f"pixels must lie in 0 to {bins - 1}, got values from {seen.min()} to {seen.max()}")
    grey = jnp.asarray(pixels, jnp.int32)
    f = (2 * grey + 1).astype(jax.dtypes.canonicalize_dtype(jnp.float64)) / bins - 1
    return jnp.where((grey >= 0) & (grey < bins), f, jnp.nan)


def decode(x: Batch, gamma_0: ArrayLike, bins: int = 256) -> Float[Array, "B ... V"]:
    """Compute log p(v | z_0) of every grey value v.

    log softmax over v of -(x - f(v))^2 / (2 sigma_0^2),  sigma_0^2 = exp(gamma_0)

    That is q(z_0 | v) normalised over v; each pixel is independent of the others. The mode is its `argmax`, a draw
    `jax.random.categorical(key, decode(...))`.

    Args:
      x: z_0 / alpha_0 = f + sigma_0 * eps, [B, ...].
      gamma_0: gamma(0), [] or [B].
      bins: V.
    Returns: [B, ..., V], which sums to 1 in probability over the last axis.
    Reference: Kingma et al. 2021, Eq. 8.
    Example:
      >>> jnp.exp(decode(jnp.array([[0.0]]), 0.0, bins=2)).tolist()
      [[[0.5, 0.5]]]
    """
    centres = encode(np.arange(bins), bins).astype(x.dtype).reshape((1,) * x.ndim + (-1,))
    scaled = (x[..., None] - centres) * jnp.exp(-expand(gamma_0, x) / 2)[..., None]
    return jax.nn.log_softmax(-jnp.square(scaled) / 2)


def log_likelihood(pixels: ArrayLike, x: Batch, gamma_0: ArrayLike, bins: int = 256) -> Float[Array, " B"]:
    """Compute log p(pixels | z_0) in nats, the sum over pixels of the decoder's log-probability.

    Args:
      pixels: integers in [0, V), [B, ...].
      x: z_0 / alpha_0, [B, ...].
      gamma_0, bins: of `decode`.
    Returns: [B].
    Raises: ValueError when the shapes differ, or as `encode`.
    Reference: Kingma et al. 2021, Eq. 8.
    Example:
      >>> jnp.exp(log_likelihood(jnp.array([[1]]), jnp.array([[0.0]]), 0.0, bins=2)).tolist()
      [0.5]
    """
    check_shape(jnp.asarray(pixels), x, "pixels", "x")
    on_grid = ~jnp.isnan(encode(pixels, bins))
    index = jnp.asarray(pixels, jnp.int32)[..., None]
    log_p = jnp.take_along_axis(decode(x, gamma_0, bins), index, axis=-1)[..., 0]
    return sum_pixels(jnp.where(on_grid, log_p, jnp.nan))


def reconstruction_loss(pixels: ArrayLike, noise: Batch, gamma_0: ArrayLike, bins: int = 256) -> Float[Array, " B"]:
    """Compute -log p(pixels | z_0) in nats at z_0 = alpha_0 encode(pixels) + sigma_0 eps.

    Its mean over eps is the reconstruction term of the bound.

    Args:
      pixels: integers in [0, V), [B, ...].
      noise: eps ~ N(0, I), [B, ...].
      gamma_0, bins: of `decode`.
    Returns: [B].
    Raises: ValueError when the shapes differ, or as `encode`.
    Reference: Kingma et al. 2021, Eq. 11, reconstruction loss.
    Example:
      >>> bool(reconstruction_loss(jnp.array([[7]]), jnp.array([[0.3]]), -13.3)[0] < 1e-6)
      True
    """
    f = encode(pixels, bins).astype(state_type(noise))
    check_shape(noise, f, of="pixels")
    return -log_likelihood(pixels, f + jnp.exp(expand(gamma_0, f) / 2) * noise, gamma_0, bins)
