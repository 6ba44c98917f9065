"""Interpolation between two latents, such as two images' encodings along the probability flow."""

import jax.numpy as jnp

from jaxdiff.types import ArrayLike, Batch, expand


def slerp(z0: Batch, z1: Batch, weight: ArrayLike) -> Batch:
    """Interpolate between two latents along the sphere, spherical linear interpolation.

    (sin((1 - w) u) z0 + sin(w u) z1) / sin(u),  u the angle between z0 and z1

    Two standard normals of many dimensions lie near one sphere, and so does what is between them, which a straight line
    would leave.

    Args:
      z0, z1: [B, ...], the same shape; each example has its own angle.
      weight: w, [] or [B]; 0 is z0, 1 is z1.
    Returns: [B, ...]; the straight line where z0 and z1 are parallel, opposite or 0, as there no sphere names the way.
    Raises: ValueError when the shapes differ.
    Reference: Shoemake 1985; Song et al. 2021, Appendix D.3, for the interpolation of encoded images.
    Example:
      >>> half = slerp(jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]]), 0.5)
      >>> [round(value, 4) for value in half[0].tolist()]
      [0.7071, 0.7071]
    """
    if z0.shape != z1.shape:
        raise ValueError(f"z0 and z1 must have one shape, got {list(z0.shape)} and {list(z1.shape)}")
    axes = tuple(range(1, z0.ndim))
    norms = jnp.sqrt(jnp.sum(z0**2, axis=axes) * jnp.sum(z1**2, axis=axes))
    cosine = jnp.sum(z0 * z1, axis=axes) / jnp.where(norms > 0, norms, 1)
    angle = jnp.arccos(jnp.clip(cosine, -1, 1))
    sine = jnp.sin(angle)
    curved = (norms > 0) & (sine > 1e-3)
    w = jnp.broadcast_to(jnp.asarray(weight, z0.dtype), angle.shape)
    safe = jnp.where(curved, sine, 1)
    a, b = (jnp.where(curved, jnp.sin(part * angle) / safe, part) for part in (1 - w, w))
    return expand(a, z0) * z0 + expand(b, z1) * z1
