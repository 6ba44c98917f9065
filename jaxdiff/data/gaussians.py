"""25 Gaussians on a square grid: data with modes that can be counted, on which mode collapse shows at a glance."""

import numpy as np
from numpy.typing import NDArray

from jaxdiff.gaussian_mixture import Mixture, mixture

STD = 0.05
"""Of every Gaussian, as Azadi et al. 2019 have it."""


def grid(side: int = 5, spacing: float = 1.0, std: float = STD) -> Mixture:
    """Make side^2 equal Gaussians, whose means are `spacing` apart and centred: -2 .. 2 in both coordinates.

    Args:
      side: of the grid, >= 1.
      spacing: of neighbouring means, > 0.
      std: of every Gaussian, > 0.
    Raises: ValueError when side is below 1, or spacing or std not positive.
    Reference: Azadi et al. 2019 (1810.06758), section 5.1, after Dumoulin et al. 2017; VEEGAN's have spacing 2.
    Example:
      >>> grid().means.shape, grid().means[0].tolist(), grid().means[-1].tolist()
      ((25, 2), [-2.0, -2.0], [2.0, 2.0])
    """
    if side < 1 or not spacing > 0 or not std > 0:
        raise ValueError(f"side, spacing and std must be positive, got {side}, {spacing}, {std}")
    ticks = spacing * (np.arange(side) - (side - 1) / 2)
    return mixture(np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2), variances=std**2)


def load(num: int, seed: int = 0, mixture: Mixture | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw points and the numbers of their Gaussians, on the host.

    Args:
      num: >= 1.
      seed: of the draw.
      mixture: `grid()` where not given.
    Returns: points float32 [num, 2], labels int64 [num].
    Raises: ValueError when num is below 1.
    Example:
      >>> points, labels = load(1000)
      >>> points.shape, bool(np.abs(points - grid().means[labels]).max() < 6 * STD)
      ((1000, 2), True)
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    means, weights, variances = grid() if mixture is None else mixture
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(means), size=num, p=weights)
    noise = np.sqrt(variances)[labels, None] * rng.normal(size=(num, means.shape[1]))
    return (means[labels] + noise).astype(np.float32), labels.astype(np.int64)
