"""Losses of a GAN: non-saturating, with R1. One number an example."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.losses.per_example import sum_pixels
from jaxdiff.types import Array, Batch, Float


def real_loss(logits: Float[Array, " B"]) -> Float[Array, " B"]:
    """Compute -log sigmoid(logits): the discriminator's loss of real examples, and the generator's of its own.

    Args:
      logits: [B], large where the discriminator believes.
    Returns: [B], softplus(-logits).
    Raises: ValueError when logits are not [B].
    Reference: Goodfellow et al. 2014, section 3, for the generator's; Xiao et al. 2022, Eq. 5.
    Example:
      >>> round(real_loss(jnp.zeros(1)).item(), 4)
      0.6931
    """
    return jax.nn.softplus(-_per_example(logits))


def fake_loss(logits: Float[Array, " B"]) -> Float[Array, " B"]:
    """Compute -log(1 - sigmoid(logits)): the discriminator's loss of generated examples.

    Args:
      logits: [B].
    Returns: [B], softplus(logits).
    Raises: ValueError when logits are not [B].
    Reference: Xiao et al. 2022, Eq. 5.
    Example:
      >>> bool(fake_loss(jnp.array([9.0]))[0] == real_loss(jnp.array([-9.0]))[0])
      True
    """
    return jax.nn.softplus(_per_example(logits))


def real_loss_with_r1(
    discriminate: Callable[[Batch], Float[Array, " B"]], x: Batch, gamma: float
) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
    """Compute `real_loss` and the R1 penalty of real examples in one forward pass.

    R1 = gamma / 2 * |grad_x sum_i D(x)_i|^2, one squared norm an example

    Where examples do not see each other the gradient is that of each one's logit; minibatch standard deviation makes
    them, and then the sum is what counts.

    Args:
      discriminate: x -> logits [B]; conditions are closed over.
      x: real examples [B, ...]; DDGAN's are x_{t-1}.
      gamma: weight, >= 0.
    Returns: (loss, penalty), [B] each.
    Raises: ValueError when gamma is negative, or logits are not [B].
    Reference: Mescheder et al. 2018 (1801.04406), Eq. 9; Xiao et al. 2022, Appendix C.
    Example:
      >>> _, r1 = real_loss_with_r1(lambda x: jnp.sum(3 * x, axis=1), jnp.ones((2, 2)), gamma=2.0)
      >>> r1.tolist()
      [18.0, 18.0]
    """
    if not gamma >= 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}")
    logits, pullback = jax.vjp(lambda x: _per_example(discriminate(x)), x)
    (gradient,) = pullback(jnp.ones_like(logits))
    return real_loss(logits), gamma / 2 * sum_pixels(jnp.square(gradient))


def _per_example(logits: Array) -> Array:
    """A column [B, 1] would broadcast without a word."""
    if logits.ndim != 1:
        raise ValueError(f"logits must be [B], one an example, got shape {list(logits.shape)}")
    return logits
