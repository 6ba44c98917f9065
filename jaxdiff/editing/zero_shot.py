"""Zero-shot editing by a consistency function f: no training, no gradient, a few evaluations.

With `sigmas = time_points([...])`, n ~ N(0, I), and `sample(consistency(), f, x, sigmas, key=key)`:

| task | f | x |
|---|---|---|
| inpainting | project_x0(f, pixels(mask), image) | degrade(pixels(mask), image) + sigmas[0] n |
| colourisation | project_x0(f, grey(shape), image) | degrade(grey(shape), image) + sigmas[0] n |
| super-resolution | project_x0(f, patch_means(shape, k), image) | degrade(patch_means(shape, k), image) + sigmas[0] n |
| stroke-guided | f | stroke + sigmas[0] n, `time_points(..., sigma_max=)` at a level that hides the strokes |
| denoising | f, one evaluation | the image with noise of level sigma: f(x, sigma), sigma [] or [B] |
| interpolation | f, one evaluation | slerp(x_0, x_1, weight) of two latents at sigma_max |

Reference: Song et al. 2023 (arXiv 2303.01469), Alg. 4 and Appendix D; Meng et al. 2022 (SDEdit) for strokes.
"""

from jaxdiff.editing.linear_measurement import LinearMeasurement, check, replace
from jaxdiff.types import Array, Batch, Denoiser


def project_x0(f: Denoiser, measurement: LinearMeasurement, data: Batch) -> Denoiser:
    """Project every output of f onto a measurement: its observed part becomes that of the data.

    f'(x, sigma) = A^-1 [Omega (A data) + (1 - Omega) (A f(x, sigma))]

    At sigma_min, where sampling ends, observed pixels are exactly those of the data, other coordinates to rounding.

    Args:
      f: a consistency function, or a denoiser. Clip it first: `project_x0(clip(f), measurement, data)` is the authors'
        order.
      measurement: from `jaxdiff.editing.linear_measurement`: `pixels`, `grey`, `patch_means`, `directions`.
      data: [B, ...]; what is not observed of them does not matter.
    Returns: (x, sigma) -> [B, ...].
    Raises: ValueError when the measurement is of images of another shape, or f's outputs have another shape than the
      data.
    Reference: Song et al. 2023, Alg. 4. Its sampling starts from N(y, sigma_max^2 I), y = `degrade(measurement, data)`.
    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxdiff.editing import degrade, pixels
      >>> measurement, image = pixels(jnp.array([1.0, 0.0])), jnp.array([[0.25, jnp.nan]])
      >>> f = project_x0(lambda x, sigma: x / (1 + sigma**2) ** 0.5, measurement, image)
      >>> x = degrade(measurement, image) + 80.0 * jax.random.normal(jax.random.key(0), (1, 2))
      >>> f(x, 80.0)[0, 0].item()
      0.25
    """
    check(measurement, data)

    def projected(x: Batch, sigma: Array) -> Batch:
        x0_hat = f(x, sigma)
        if x0_hat.shape != data.shape:
            raise ValueError(f"data must have the shape of f's images, {list(x0_hat.shape)}, got {list(data.shape)}")
        return replace(measurement, x0_hat, data)

    return projected
