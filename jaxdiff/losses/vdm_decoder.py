"""The ends of a variational diffusion model that touch pixels: levels 0 .. V - 1 to [-1, 1], and p(level | z_0).

Pixels are integers. What is not on that grid is refused: by its type always, by its value where it can be seen, and
under jit a value out of range becomes NaN, so that no likelihood is computed for it silently.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike, Batch, Float, expand


def encode(x: ArrayLike, vocab_size: int = 256) -> Batch:
    """f = (2 x + 1) / V - 1: the centres of V equal bins of [-1, 1].

    Args:
      x: integers in [0, V), of any shape.
      vocab_size: V, number of levels.
    Returns: float32 (float64 under x64) in the shape of x; NaN where a traced x is out of range.
    Raises: ValueError when x is not of an integer type, when its values can be seen and are not in [0, V), or when V
      is not an integer above 1.
    Reference: Kingma et al. 2021, section 3.3 and Appendix B.
    Example:
      >>> encode(jnp.array([0, 1, 2, 3]), vocab_size=4).tolist()
      [-0.75, -0.25, 0.25, 0.75]
    """
    if vocab_size != int(vocab_size) or vocab_size < 2:
        raise ValueError(f"vocab_size must be an integer above 1, got {vocab_size}")
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise ValueError(f"x must be of an integer type, levels 0 to {vocab_size - 1}, got {x.dtype}")
    # What is traced, or lies on other hosts too, cannot be looked at.
    if not isinstance(x, jax.core.Tracer) and getattr(x, "is_fully_addressable", True):
        seen = np.asarray(x)
        if seen.size and not (seen.min() >= 0 and seen.max() < vocab_size):
            raise ValueError(f"x must lie in 0 to {vocab_size - 1}, got values from {seen.min()} to {seen.max()}")
    level = jnp.asarray(x, jnp.int32)
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


def log_likelihood(x: ArrayLike, z: Batch, gamma_0: ArrayLike, vocab_size: int = 256) -> Float[Array, " B"]:
    """log p(x | z_0) in nats, the sum over pixels of the decoder's log-probability of each level.

    Args:
      x: integers in [0, V), [B, ...].
      z: z_0 / alpha_0, [B, ...].
      gamma_0, vocab_size: of `decode`.
    Returns: [B].
    Raises: ValueError when the shapes differ; as `encode`.
    Example:
      >>> jnp.exp(log_likelihood(jnp.array([[1]]), jnp.array([[0.0]]), 0.0, vocab_size=2)).tolist()
      [0.5]
    """
    if jnp.shape(x) != z.shape:
        raise ValueError(f"x must have the shape of z, {list(z.shape)}, got {list(jnp.shape(x))}")
    f = encode(x, vocab_size)
    log_p = jnp.take_along_axis(decode(z, gamma_0, vocab_size), jnp.asarray(x, jnp.int32)[..., None], axis=-1)[..., 0]
    return jnp.sum(log_p + 0 * f, axis=tuple(range(1, z.ndim)))  # 0 * f: NaN where the level is out of range


def reconstruction_loss(x: ArrayLike, noise: Batch, gamma_0: ArrayLike, vocab_size: int = 256) -> Float[Array, " B"]:
    """-log p(x | z_0) in nats at z_0 = alpha_0 f(x) + sigma_0 eps, an estimate of its mean over eps.

    Args:
      x: integers in [0, V), [B, ...].
      noise: eps ~ N(0, I), [B, ...].
      gamma_0, vocab_size: of `decode`.
    Returns: [B].
    Raises: as `encode`.
    Reference: Kingma et al. 2021, section 3.5.
    Example:
      >>> bool(reconstruction_loss(jnp.array([[7]]), jnp.array([[0.3]]), -13.3)[0] < 1e-6)
      True
    """
    f = encode(x, vocab_size).astype(noise.dtype)
    return -log_likelihood(x, f + jnp.exp(expand(gamma_0, f) / 2) * noise, gamma_0, vocab_size)
