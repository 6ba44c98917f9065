"""Features: the input of every metric, one row an image."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_rows(name: str, values: ArrayLike, least: int = 1) -> NDArray[np.float64]:
    """Convert features or images [N, ...] to float64 rows [N, d].

    Args:
      name: of the argument, for messages.
      values: [N, d], or images [N, H, W, C], which are flattened.
      least: smallest N that will do.
    Raises: ValueError when sizes are mixed, values are not finite numbers, or there are too few.
    Example:
      >>> as_rows("images", np.zeros((5, 8, 8, 1), np.uint8)).shape
      (5, 64)
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers of one size each, [N, ...]: {error}") from None
    if array.ndim < 2 or not array[:1].size:
        raise ValueError(f"{name} must be [N, d] or [N, H, W, C] and not empty, got shape {list(array.shape)}")
    if len(array) < least:
        raise ValueError(f"{name} must hold at least {least}, got {len(array)}")
    if not np.all(np.isfinite(array)):
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise ValueError(f"{name} must be finite, but {len(bad)} of {len(array)} are not, the first is number {bad[0]}")
    return array.reshape(len(array), -1)


def check_same_width(**sets: NDArray[np.float64]) -> None:
    """Check that features that are compared have one length.

    Raises: ValueError naming the sets and their lengths.
    Example:
      >>> check_same_width(real=np.zeros((5, 2)), fake=np.zeros((3, 2)))
    """
    widths = {name: features.shape[1] for name, features in sets.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"features must have one length in all sets, got {widths}")
