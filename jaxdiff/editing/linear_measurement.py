"""Linear measurements: an image is observed in some coordinates of a basis A, those where the mask Omega is 1.

    observed part of y and the rest of x:  A^-1 [Omega (A y) + (1 - Omega) (A x)]

Inpainting observes pixels, colourisation one direction of colour, super-resolution the means of patches. Sampling
projects onto a measurement after every step (`samplers.impute`) or at every x0 (`editing.project_x0`).
Reference: Song et al. 2021, Appendix I; Song et al. 2023, Alg. 4 and Appendix D, whose Omega is 1 where unobserved.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxdiff.types import Array, ArrayLike, Batch

LUMINANCE = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as Song et al. 2023 take them."""


class LinearMeasurement(NamedTuple):
    """Which coordinates of an image are observed.

    mask: 1 where a coordinate is observed, 0 where not, of the shape of the coordinates [B, ...] or of one example's;
    transform(x) = A x, [B, ...]; inverse(transform(x)) = x.
    """

    mask: ArrayLike
    transform: Callable[[Batch], Array]
    inverse: Callable[[Array], Batch]


def pixels(mask: ArrayLike) -> LinearMeasurement:
    """Observe pixels, for inpainting: A is the identity.

    Args:
      mask: 1 where observed, 0 where not, of the shape of the images or of one.
    Raises: ValueError when a value is outside [0, 1].
    Example:
      >>> replace(pixels(np.array([1.0, 0.0])), jnp.zeros((1, 2)), jnp.ones((1, 2))).tolist()
      [[1.0, 0.0]]
    """
    return LinearMeasurement(_between(mask), lambda x: x, lambda x: x)


def directions(mask: ArrayLike, basis: NDArray[np.float64]) -> LinearMeasurement:
    """Observe combinations of channels: A x = x @ basis.

    Args:
      mask: as for `pixels`, of x @ basis, channels last.
      basis: [C, C], invertible; its columns are the directions.
    Raises: ValueError when the basis has another shape or is not invertible.
    Example:
      >>> of_sum = directions(np.array([1.0, 0.0]), orthogonal([1.0, 1.0]))
      >>> bool(jnp.allclose(replace(of_sum, jnp.array([[1.0, 0.0]]), jnp.ones((1, 2))), jnp.array([[1.5, 0.5]])))
      True
    """
    channels = jnp.shape(mask)[-1]
    if np.shape(basis) != (channels, channels):
        raise ValueError(f"basis must be [{channels}, {channels}] for this mask, got {list(np.shape(basis))}")
    if np.linalg.cond(basis) > 1e3:
        raise ValueError("basis must be invertible")
    inverse = np.linalg.inv(basis)

    def transform(x: Batch) -> Array:
        if x.shape[-1] != channels:
            raise ValueError(f"the basis is one of {channels} channels, got images of shape {list(x.shape)}")
        return _matmul(x, basis)

    return LinearMeasurement(_between(mask), transform, lambda x: _matmul(x, inverse))


def grey(shape: tuple[int, ...], weights: Sequence[float] = LUMINANCE) -> LinearMeasurement:
    """Observe the grey image, for colourisation: the component of each pixel along the weights.

    Args:
      shape: of one image, [H, W, 3].
      weights: of red, green and blue, not all 0; Song et al. 2021 take (1, 1, 1).
    Raises: ValueError when there are not three channels.
    Example:
      >>> colour = jnp.array([[[[0.3, -0.1, 0.8]]]])
      >>> found = replace(grey((1, 1, 3)), 0 * colour, colour)
      >>> bool(jnp.allclose(found @ jnp.array(LUMINANCE), colour @ jnp.array(LUMINANCE)))
      True
    """
    return directions(grey_mask(shape), orthogonal(weights))


def grey_mask(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Mark the first direction of a basis of colours, grey, with 1 and the others with 0: [H, W, 3].

    Raises: ValueError when there are not three channels.
    Example:
      >>> grey_mask((1, 1, 3)).tolist()
      [[[1.0, 0.0, 0.0]]]
    """
    if shape[-1] != 3:
        raise ValueError(f"colourisation needs images of 3 channels, got shape {list(shape)}")
    return np.broadcast_to(np.array([1.0, 0.0, 0.0]), shape)


def patch_means(shape: tuple[int, ...], size: int) -> LinearMeasurement:
    """Observe the mean of every patch of size x size pixels, channel by channel, for super-resolution.

    The coordinates are those of each patch, [B, H / size, W / size, C, size^2]; the first is size times the mean.

    Args:
      shape: of one large image, [H, W, C]; a small one is given by repeating its pixels.
      size: side of a patch, >= 1, which divides H and W.
    Raises: ValueError when it does not divide them.
    Example:
      >>> x = replace(patch_means((2, 2, 1), 2), jnp.zeros((1, 2, 2, 1)), jnp.arange(4.0).reshape(1, 2, 2, 1))
      >>> bool(jnp.allclose(x, 1.5))
      True
    """
    if len(shape) != 3 or size < 1 or shape[0] % size or shape[1] % size:
        raise ValueError(f"patches of {size} x {size} must tile the image, [H, W, C], got shape {list(shape)}")
    height, width, channels = shape
    rows, columns = height // size, width // size
    basis = orthogonal(np.ones(size**2))
    mask = np.zeros((rows, columns, channels, size**2))
    mask[..., 0] = 1

    def transform(x: Batch) -> Array:
        if x.shape[1:] != tuple(shape):
            raise ValueError(f"the patches are those of images {list(shape)}, got images of shape {list(x.shape[1:])}")
        patches = x.reshape(-1, rows, size, columns, size, channels).transpose(0, 1, 3, 5, 2, 4)
        return _matmul(patches.reshape(-1, *mask.shape), basis)

    def inverse(coordinates: Array) -> Batch:
        patches = _matmul(coordinates, basis.T).reshape(-1, rows, columns, channels, size, size)
        return patches.transpose(0, 1, 4, 2, 5, 3).reshape(-1, *shape)

    return LinearMeasurement(mask, transform, inverse)


def orthogonal(first: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Complete a vector to an orthogonal basis [n, n] whose first column is `first` normalised.

    It is Householder's reflection of the first axis; a measurement of the first coordinate does not depend on the rest.

    Raises: ValueError when `first` is not a vector, is 0 or not finite.
    Example:
      >>> np.round(orthogonal([3.0, 4.0]), 6).tolist()
      [[0.6, 0.8], [0.8, -0.6]]
    """
    vector = np.asarray(first, np.float64)
    norm = np.linalg.norm(vector)
    if vector.ndim != 1 or not 0 < norm < np.inf:
        raise ValueError(f"the first column of a basis must be a vector that is not 0, got {vector.tolist()}")
    vector = vector / norm
    sign = 1.0 if vector[0] >= 0 else -1.0
    axis = vector.copy()
    axis[0] += sign  # away from 0, which avoids cancellation error
    return -sign * (np.eye(len(vector)) - 2 * np.outer(axis, axis) / (axis @ axis))


def replace(measurement: LinearMeasurement, x: Batch, data: Batch) -> Batch:
    """Replace the observed part of x by that of the data; observed pixels are exactly those of the data.

    A^-1 [Omega (A data) + (1 - Omega) (A x)]

    Args:
      measurement: which coordinates are observed.
      x, data: [B, ...]; what is not observed of the data may be nan.
    Returns: [B, ...] in the type of x.
    Example:
      >>> replace(pixels(np.array([1.0, 0.0])), jnp.zeros((1, 2)), jnp.array([[3.0, jnp.nan]])).tolist()
      [[3.0, 0.0]]
    """
    data = data.astype(x.dtype)
    return measurement.inverse(mix(measurement.mask, measurement.transform(x), measurement.transform(data)))


def degrade(measurement: LinearMeasurement, data: Batch) -> Batch:
    """Keep the observed part of the data and set the rest to 0: the picture that editing starts from.

    Args:
      measurement: which coordinates are observed.
      data: [B, ...].
    Example:
      >>> degrade(pixels(np.array([1.0, 0.0])), jnp.full((1, 2), 3.0)).tolist()
      [[3.0, 0.0]]
    """
    return replace(measurement, jnp.zeros_like(data), data)


def mix(mask: ArrayLike, x: Array, data: Array) -> Array:
    """Mix coordinates, mask * data + (1 - mask) * x.

    Args:
      mask: in [0, 1], of the shape of x or of one example's; data: what the mask leaves out may be nan.
      x: coordinates [B, ...].
    Example:
      >>> mix(0.25, jnp.zeros(1), jnp.ones(1)).tolist()
      [0.25]
    """
    mask = jnp.broadcast_to(jnp.asarray(mask, x.dtype), x.shape)
    return mask * jnp.where(mask > 0, data, 0) + (1 - mask) * x


def check(measurement: LinearMeasurement, data: Batch) -> None:
    """Raise ValueError unless a measurement is one of images of the shape of the data.

    Args:
      measurement: whose mask and transform are looked at; data: [B, ...].
    Raises: ValueError naming the shape of the mask and those that are allowed.
    Example:
      >>> check(pixels(np.ones(3)), jnp.ones((1, 2)))
      Traceback (most recent call last):
      ValueError: mask must have the shape of the data, [1, 2] or [2], got [3]
    """
    shape = jax.eval_shape(measurement.transform, data).shape
    found = jnp.shape(measurement.mask)
    if found not in (shape, shape[1:]):
        raise ValueError(f"mask must have the shape of the data, {list(shape)} or {list(shape[1:])}, got {list(found)}")


def _between(mask: ArrayLike) -> ArrayLike:
    if not isinstance(mask, jax.core.Tracer) and not np.all((np.asarray(mask) >= 0) & (np.asarray(mask) <= 1)):
        raise ValueError("mask must lie between 0 (not observed) and 1 (observed)")
    return mask


def _matmul(x: Array, matrix: NDArray[np.floating]) -> Array:
    return jnp.matmul(x, jnp.asarray(matrix, x.dtype), precision="highest")
