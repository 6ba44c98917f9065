"""The ends of a variational diffusion model that touch pixels: levels 0 .. V - 1 to [-1, 1], and p(level | z_0).

Pixels are integers. What is not on that grid is refused: by its type always, by its value where it can be seen, and
under jit a value out of range becomes NaN, so that no likelihood is computed for it silently.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike, Batch, Float, expand, state_type


def encode(pixels: ArrayLike, vocab_size: int = 256) -> Batch:
    """f = (2 pixels + 1) / V - 1: the centres of V equal bins of [-1, 1].

    Args:
      pixels: integers in [0, V), of any shape.
      vocab_size: V, number of levels.
    Returns: float32 (float64 under x64) in the shape of pixels; NaN where a traced pixel is out of range.
    Raises: ValueError when pixels are not of an integer type, when their values can be seen and are not in [0, V), or
      when V is not an integer above 1.
    Reference: Kingma et al. 2021, section 3.3 and Appendix B.
    Example:
      >>> encode(jnp.array([0, 1, 2, 3]), vocab_size=4).tolist()
      [-0.75, -0.25, 0.25, 0.75]
    """
    if vocab_size != int(vocab_size) or vocab_size < 2:
        raise ValueError(f"vocab_size must be an integer above 1, got {vocab_size}")
    pixels = pixels if isinstance(pixels, jax.Array) else np.asarray(pixels)
    if not jnp.issubdtype(pixels.dtype, jnp.integer):
        raise ValueError(f"pixels must be of an integer type, 0 to {vocab_size - 1}, got {pixels.dtype}")
    # What is traced, or lies on other hosts too, cannot be looked at.
    if not isinstance(pixels, jax.core.Tracer) and getattr(pixels, "is_fully_addressable", True):
        seen = np.asarray(pixels)
        if seen.size and not (seen.min() >= 0 and seen.max() < vocab_size):
            raise ValueError(f"pixels must lie in 0 to {vocab_size - 1}, got values from {seen.min()} to {seen.max()}")
    level = jnp.asarray(pixels, jnp.int32)
    f = (2 * level + 1).astype(jax.dtypes.canonicalize_dtype(jnp.float64)) / vocab_size - 1
    return jnp.where((level >= 0) & (level < vocab_size), f, jnp.nan)


def decode(x: Batch, gamma_0: ArrayLike, vocab_size: int = 256) -> Float[Array, "B ... V"]:
    """log p(level | z_0): log softmax over levels v of -(x - f(v))^2 / (2 sigma_0^2), sigma_0^2 = exp(gamma_0).

    That is q(z_0 | level) normalised over levels; each pixel is independent of the others. The mode is its `argmax`,
    a draw `jax.random.categorical(key, decode(...))`.

    Args:
      x: z_0 / alpha_0 = f + sigma_0 * eps, [B, ...].
      gamma_0: gamma(0), [] or [B].
      vocab_size: V.
    Returns: [B, ..., V], which sums to 1 in probability over the last axis.
    Reference: Kingma et al. 2021, section 3.3.
    Example:
      >>> jnp.exp(decode(jnp.array([[0.0]]), 0.0, vocab_size=2)).tolist()
      [[[0.5, 0.5]]]
    """
    centres = encode(np.arange(vocab_size), vocab_size).astype(x.dtype).reshape((1,) * x.ndim + (-1,))
    scaled = (x[..., None] - centres) * jnp.exp(-expand(gamma_0, x) / 2)[..., None]
    return jax.nn.log_softmax(-jnp.square(scaled) / 2)


def log_likelihood(pixels: ArrayLike, x: Batch, gamma_0: ArrayLike, vocab_size: int = 256) -> Float[Array, " B"]:
    """log p(pixels | z_0) in nats, the sum over pixels of the decoder's log-probability.

    Args:
      pixels: integers in [0, V), [B, ...].
      x: z_0 / alpha_0, [B, ...].
      gamma_0, vocab_size: of `decode`.
    Returns: [B].
    Raises: ValueError when the shapes differ; as `encode`.
    Example:
      >>> jnp.exp(log_likelihood(jnp.array([[1]]), jnp.array([[0.0]]), 0.0, vocab_size=2)).tolist()
      [0.5]
    """
    if jnp.shape(pixels) != x.shape:
        raise ValueError(f"pixels must have the shape of x, {list(x.shape)}, got {list(jnp.shape(pixels))}")
    on_grid = ~jnp.isnan(encode(pixels, vocab_size))
    index = jnp.asarray(pixels, jnp.int32)[..., None]
    log_p = jnp.take_along_axis(decode(x, gamma_0, vocab_size), index, axis=-1)[..., 0]
    return jnp.sum(jnp.where(on_grid, log_p, jnp.nan), axis=tuple(range(1, x.ndim)))


def reconstruction_loss(
    pixels: ArrayLike, noise: Batch, gamma_0: ArrayLike, vocab_size: int = 256
) -> Float[Array, " B"]:
    """-log p(pixels | z_0) in nats at z_0 = alpha_0 encode(pixels) + sigma_0 eps.

    Its mean over eps is the reconstruction term of the bound.

    Args:
      pixels: integers in [0, V), [B, ...].
      noise: eps ~ N(0, I), [B, ...].
      gamma_0, vocab_size: of `decode`.
    Returns: [B].
    Raises: ValueError when the shapes differ; as `encode`.
    Reference: Kingma et al. 2021, section 3.5.
    Example:
      >>> bool(reconstruction_loss(jnp.array([[7]]), jnp.array([[0.3]]), -13.3)[0] < 1e-6)
      True
    """
    f = encode(pixels, vocab_size).astype(state_type(noise))
    if noise.shape != f.shape:
        raise ValueError(f"noise must have the shape of pixels, {list(f.shape)}, got {list(noise.shape)}")
    return -log_likelihood(pixels, f + jnp.exp(expand(gamma_0, f) / 2) * noise, gamma_0, vocab_size)
