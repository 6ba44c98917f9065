"""Editing without training: inpainting, colourisation, super-resolution, interpolation.

`linear_measurement` says which coordinates of an image are observed, `zero_shot` projects every x0 onto them, and
`interpolation` goes from one latent to another; `samplers.impute` projects x after every step instead.

To add a task, write a function in `linear_measurement` that returns a `LinearMeasurement`; both projections take it.
"""

from jaxdiff.editing.interpolation import slerp
from jaxdiff.editing.linear_measurement import (
    LUMINANCE,
    LinearMeasurement,
    degrade,
    directions,
    grey,
    orthogonal,
    patch_means,
    pixels,
    replace,
)
from jaxdiff.editing.zero_shot import project_x0

__all__ = [
    "LUMINANCE",
    "LinearMeasurement",
    "degrade",
    "directions",
    "grey",
    "orthogonal",
    "patch_means",
    "pixels",
    "project_x0",
    "replace",
    "slerp",
]
