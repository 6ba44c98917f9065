"""LPIPS, the learned perceptual image patch similarity: a differentiable distance of images, in JAX."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdiff.nets.features.vgg import VGG16
from jaxdiff.types import Array, Batch, Float, Params

# Mean and standard deviation of ImageNet's channels (0.485, 0.456, 0.406; 0.229, 0.224, 0.225), for images in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPS = 1e-10


def lpips(
    params: Params, x: Batch, y: Batch, net: VGG16 = VGG16(), side: int | None = None
) -> Float[Array, " B"]:  # fmt: skip
    """Compute the perceptual distance of pairs of images.

    d(x, y) = sum_l mean_{h,w} sum_c w_lc (u_lc(x) - u_lc(y))^2,  u_l = f_l / (|f_l| + 1e-10) over channels

    f_l are VGG-16's activations at five resolutions, w_l >= 0 weights learned from human judgements.

    Args:
      params: {"vgg": of the network, "linear": five w_l [widths[l]]}, as `interop.lpips.load_lpips` makes them.
      x, y: images [B, H, W, 3] in [-1, 1]; a grey channel is repeated by the caller.
      net: the network of `params`. The distance of Zhang et al. has its default, the maximum as pooling; OpenAI's
        consistency models were trained with `VGG16(pool=nn.avg_pool)` and side 224 for images below 256.
      side: height and width to which both images are first resized, bilinearly with half-pixel centres and without
        antialiasing; None leaves them.
    Returns: [B], >= 0, float32 or better.
    Raises: ValueError when there are no weights, or shapes do not fit: there is no other metric to fall back on.
    Reference: Zhang et al. 2018, Eq. 1, version 0.1 of the weights; Song et al. 2023, section 5. Departure: where all
      channels are 0 the gradient of u is that of f / 1e-10, not undefined.
    Example:
      >>> net = VGG16(widths=(2, 2, 2, 2, 2))
      >>> x = jnp.zeros((3, 16, 16, 3))
      >>> params = {"vgg": net.init(jax.random.key(0), x), "linear": [jnp.ones(2)] * 5}
      >>> lpips(params, x, x, net).tolist()
      [0.0, 0.0, 0.0]
    """
    _check(params, x, y, net, side)
    # Two passes, so that no gradient is computed for the image that needs none.
    distance = jnp.zeros(x.shape[:1], jnp.promote_types(x.dtype, jnp.float32))
    for w, f, g in zip(params["linear"], _features(params, x, net, side), _features(params, y, net, side), strict=True):
        difference = _unit(f.astype(distance.dtype)) - _unit(g.astype(distance.dtype))
        distance += jnp.mean(difference**2 @ w.astype(distance.dtype), axis=(1, 2))
    return distance


def _features(params: Params, x: Batch, net: VGG16, side: int | None) -> list[Array]:
    if side is not None:
        x = jax.image.resize(x, (x.shape[0], side, side, 3), "bilinear", antialias=False)
    shift, scale = (jnp.asarray(a, x.dtype)[None, None, None] for a in (SHIFT, SCALE))
    return list(net.apply(params["vgg"], (x - shift) / scale))


def _unit(f: Array) -> Array:
    """f / (|f| + eps) over channels; a root has no slope at 0, so that it is taken where there is something."""
    squares = jnp.sum(f**2, axis=-1, keepdims=True)
    norm = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return f / (norm + EPS)


def _check(params: Params, x: Batch, y: Batch, net: VGG16, side: int | None) -> None:
    if not isinstance(params, Mapping) or set(params) != {"vgg", "linear"}:
        raise ValueError(
            "LPIPS needs the weights of VGG-16 and its own linear ones, params = interop.lpips.load_lpips(vgg, linear) "
            f"from files that you give or fetch_lpips(folder) for the published ones; got {type(params).__name__}"
        )
    widths = [list(w.shape) for w in params["linear"]]
    if widths != [[width] for width in net.widths]:
        raise ValueError(f"params['linear'] must have the shapes {[[w] for w in net.widths]} of net, got {widths}")
    least = 2 ** (len(net.widths) - 1)
    if side is not None and side < least:
        raise ValueError(f"side must be {least} or more, got {side}")
    if x.shape != y.shape or x.ndim != 4 or x.shape[-1] != 3 or (side is None and min(x.shape[1:3]) < least):
        raise ValueError(
            f"x and y must be [B, H, W, 3] of one shape, H and W {least} or more unless side is given; "
            f"got {list(x.shape)} and {list(y.shape)}"
        )
