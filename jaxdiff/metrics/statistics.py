"""Reference statistics in the published forms.

An .npz has the mean `mu` and the covariance `sigma` of features, or the features themselves, `pool_3`.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxdiff.metrics.frechet import FeatureStats, feature_stats


class Gaussian(NamedTuple):
    """Mean [d] and covariance [d, d] of features, all that a Frechet distance needs of a data set."""

    mean: NDArray[np.float64]
    cov: NDArray[np.float64]


def array_names(path: str | Path) -> tuple[str, ...]:
    """List the names of the arrays in an .npz, without reading any.

    Raises: ValueError when it is no such file.
    Example:
      >>> array_names(__file__)
      Traceback (most recent call last):
      ValueError: ...statistics.py is no .npz (...
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return tuple(file.files)
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no .npz ({first_sentence(error)})") from None


def read(path: str | Path, width: int) -> Gaussian:
    """Read statistics from an .npz: `mu` and `sigma` of EDM, ADM, TTUR, pytorch-fid, or `pool_3` [N, d] of score SDE.

    Args:
      path: of the file; other arrays in it are ignored, and nothing in it is executed.
      width: d, of the features that they are compared with.
    Raises: ValueError when there is no such file, a name is missing, or arrays are of another size or not finite.
    Example:
      >>> read("reference.npz", width=2048)
      Traceback (most recent call last):
      ValueError: reference.npz does not exist: give an .npz with mu [2048] and sigma [2048, 2048]
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist: give an .npz with mu [{width}] and sigma [{width}, {width}]")
    try:
        with np.load(path, allow_pickle=False) as file:
            if "pool_3" in file.files and "mu" not in file.files:
                found = feature_stats(file["pool_3"])
                mean, cov = found.mean, found.cov
            else:
                mean, cov = (np.asarray(file[name], np.float64) for name in ("mu", "sigma"))
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no .npz with numbers mu and sigma ({first_sentence(error)})") from None
    if mean.shape != (width,) or cov.shape != (width, width):
        raise ValueError(
            f"{path} must hold mu [{width}] and sigma [{width}, {width}], as the features have it, "
            f"got {list(mean.shape)} and {list(cov.shape)}"
        )
    if not np.isfinite(mean).all() or not np.isfinite(cov).all():
        raise ValueError(f"{path} must hold finite numbers only")
    return Gaussian(mean, cov)


def write(path: str | Path, stats: FeatureStats) -> None:
    """Write the .npz that `read`, EDM's tools and pytorch-fid understand, and `num`, the number of images.

    Args:
      path: of the file.
      stats: of `frechet.feature_stats`.
    Example:
      >>> import tempfile
      >>> from jaxdiff.metrics.frechet import feature_stats
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write(f"{folder}/reference.npz", feature_stats([[0.0], [2.0]]))
      ...     read(f"{folder}/reference.npz", width=1)
      Gaussian(mean=array([1.]), cov=array([[2.]]))
    """
    with Path(path).open("wb") as file:
        np.savez(file, mu=stats.mean, sigma=stats.cov, num=np.int64(stats.num))


def first_sentence(error: Exception) -> str:
    """Strip NumPy's advice on unpickling from its message about a file.

    Example:
      >>> first_sentence(ValueError("This holds objects. If you trust it, ..."))
      'This holds objects'
    """
    return f"{error}".split(". ")[0].split(" when allow_pickle")[0]
