"""Alias-free resampling of images under an affine map: reflect, upsample twofold, interpolate, downsample."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.augment.blit import reflect
from jaxdiff.types import Array

__all__ = ["batch_margins", "warp"]

# Low-pass filter of the symlet with six vanishing moments (Daubechies 1992, Table 6.3), in float32 as EDM keeps it:
# it is orthogonal to its even shifts, so that upsampling followed by downsampling is the identity.
SYM6 = np.array(
    [
        0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
        0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
        -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
    ],
    np.float32,
).astype(np.float64)  # fmt: skip
SLACK = len(SYM6) // 4  # pixels computed around the output on each side, which the filter needs to come down again


def batch_margins(matrix: Array, height: int, width: int) -> Array:
    """Compute the padding that EDM's reference takes for a batch: what corners reach, plus the filter, up to size - 1.

    Args:
      matrix: G^-1 of every image [B, 3, 3], from `inverse_matrix`.
      height, width: size of the images, in pixels.
    Returns: [4] pixels: left, top, right, bottom.
    Reference: EDM's recorded runs (`mid/margins`).
    Example:
      >>> batch_margins(jnp.eye(3)[None], 16, 16).tolist()  # nothing moves: the filter alone
      [6.0, 6.0, 6.0, 6.0]
    """
    half = jnp.array([(width - 1) / 2, (height - 1) / 2], matrix.dtype)
    signs = jnp.array([[-1, -1, 1, 1], [-1, 1, -1, 1]], matrix.dtype)
    linear, offset = matrix[:, :2, :2], matrix[:, :2, 2]
    corners = jnp.einsum("bij,jk->bik", linear, signs * half[:, None], precision="highest") + offset[:, :, None]
    reach = jnp.concatenate([(-corners).max(axis=(0, 2)), corners.max(axis=(0, 2))])
    most = jnp.array([width - 1, height - 1] * 2, matrix.dtype)
    return jnp.ceil(jnp.clip(reach + 2 * SLACK - jnp.tile(half, 2), 0, most))


def warp(matrix: Array, images: Array, margins: Array | None = None) -> Array:
    """Warp images by an affine map without aliasing: out(p) = lowpass(images)(G^-1 p).

    Bilinear interpolation between the samples of a twofold upsampled image, which is continued by reflection over
    `margins` pixels and by zeros beyond. Reflection, upsampling and downsampling are linear maps of rows and columns,
    each one small matrix; only the interpolation is a gather.

    Args:
      matrix: G^-1 [B, 3, 3] in pixels about the centre, x first.
      images: [B, H, W, C].
      margins: [4] left, top, right, bottom, each in [0, size - 1]; None is the most there can be, size - 1 everywhere.
    Returns: [B, H, W, C].
    Reference: Karras et al. 2020, Appendix B, "geometric transformations".
    Example:
      >>> image = jnp.arange(64.0).reshape(1, 8, 8, 1)
      >>> bool(jnp.allclose(warp(jnp.eye(3)[None], image), image, atol=1e-4))  # the identity
      True
    """
    _, height, width, _ = images.shape
    up_y = _upsampler(height, None if margins is None else margins[1::2], images.dtype)
    up_x = _upsampler(width, None if margins is None else margins[0::2], images.dtype)
    canvas = _separable(up_y, images, up_x)

    # Centred coordinates of the fine output grid, shifted by half a fine pixel: an input pixel is the first of two.
    y = jnp.asarray(np.arange(2 * (height + 2 * SLACK)) - (height + 2 * SLACK) + 1, images.dtype)[None, :, None]
    x = jnp.asarray(np.arange(2 * (width + 2 * SLACK)) - (width + 2 * SLACK) + 1, images.dtype)[None, None, :]
    m = matrix[:, :, :, None, None]
    source_x = m[:, 0, 0] * x + m[:, 0, 1] * y + 2 * m[:, 0, 2] + (canvas.shape[2] / 2 - 1)
    source_y = m[:, 1, 0] * x + m[:, 1, 1] * y + 2 * m[:, 1, 2] + (canvas.shape[1] / 2 - 1)
    samples = _interpolate(canvas, source_y, source_x)

    down_y, down_x = (jnp.asarray(_downsampler(n), images.dtype) for n in (height, width))
    return _separable(down_y, samples, down_x)


def _separable(rows: Array, images: Array, columns: Array) -> Array:
    """rows [P, H] @ images [B, H, W, C] @ columns^T [W, Q], channel by channel: [B, P, Q, C]."""
    return jnp.einsum("ph,bhwc,qw->bpqc", rows, images, columns, precision="highest", optimize=True)


def _interpolate(canvas: Array, y: Array, x: Array) -> Array:
    """Bilinear samples of canvas [B, P, Q, C] at fractional indices y, x [B, I, J]; its border must be zero."""
    rows, columns = canvas.shape[1:3]
    y, x = jnp.clip(y, 0, rows - 1), jnp.clip(x, 0, columns - 1)
    y0 = jnp.minimum(jnp.floor(y), rows - 2)
    x0 = jnp.minimum(jnp.floor(x), columns - 2)
    fy, fx = (y - y0)[..., None], (x - x0)[..., None]
    iy, ix = y0.astype(jnp.int32), x0.astype(jnp.int32)
    at = jax.vmap(lambda image, i, j: image[i, j])
    upper = at(canvas, iy, ix) * (1 - fx) + at(canvas, iy, ix + 1) * fx
    lower = at(canvas, iy + 1, ix) * (1 - fx) + at(canvas, iy + 1, ix + 1) * fx
    return upper * (1 - fy) + lower * fy


def _upsampler(size: int, margins: Array | None, dtype: jnp.dtype) -> Array:
    """Matrix [2 * (3 size - 2) + 2, size] that reflects over the margins and upsamples; first and last row are zero."""
    most = size - 1
    padded = size + 2 * most
    reflected = np.eye(size)[reflect(np.arange(-most, size + most), size)]
    fine = np.zeros((2 * padded + 2, padded))
    for tap, value in enumerate(SYM6):
        row = 2 * np.arange(padded) + tap - 5 + 1
        inside = (row >= 1) & (row <= 2 * padded)
        fine[row[inside], np.arange(padded)[inside]] = value
    if margins is None:
        return jnp.asarray(fine @ reflected, dtype)
    # Smaller margins: pixels outside do not exist, neither before nor after upsampling.
    pixel = jnp.arange(padded)
    exists = ((pixel >= most - margins[0]) & (pixel < most + size + margins[1])).astype(dtype)
    exists_fine = jnp.pad(jnp.repeat(exists, 2), 1)
    kept = exists[:, None] * jnp.asarray(reflected, dtype)
    return exists_fine[:, None] * jnp.matmul(jnp.asarray(fine, dtype), kept, precision="highest")


def _downsampler(size: int) -> np.ndarray:
    """Matrix [size, 2 * (size + 2 SLACK)], the transpose of upsampling, which drops the slack."""
    matrix = np.zeros((size, 2 * (size + 2 * SLACK)))
    for tap, value in enumerate(SYM6):
        matrix[np.arange(size), 2 * (np.arange(size) + SLACK) + tap - 5] = value
    return matrix
