"""CIFAR-10 through tensorflow-datasets, downloaded, checked, decoded and read without TensorFlow."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

from jaxdiff.data import cifar_binary, prepared, records
from jaxdiff.data.pipeline import Source
from jaxdiff.imports import needs


def load(split: str = "train", data_dir: str | Path | None = None) -> Source:
    """Load CIFAR-10: image uint8 [32, 32, 3] and label int32.

    Read from the ArrayRecord files that an earlier call left in DATA_DIR/jaxdiff, or from what tensorflow-datasets has
    prepared, in ArrayRecord or TFRecord files. Where neither is there, its registered archive is downloaded by its
    download manager, which checks the size and SHA-256, and decoded into DATA_DIR/jaxdiff. These files come first, so
    that a run that began with them goes on with them: a prepared data set has another order.

    Args:
      split: "train" (50,000 images) or "test" (10,000).
      data_dir: where tensorflow-datasets keeps its data; its own default where not given.
    Returns: a source for `pipeline.batches`.
    Raises: ValueError when split is another, or what is found there is not the data set; OSError when it cannot be
      downloaded, saying where an archive can be put by hand.
    Reference: Krizhevsky 2009. Tested on files in the true format; the data set itself could not be had here.
    Example:
      >>> load("validation")
      Traceback (most recent call last):
      ValueError: split must be 'train' or 'test', got 'validation'
    """
    if split not in cifar_binary.CIFAR10.splits:
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    builder = prepared.find_builder("cifar10", data_dir)
    folder = Path(builder.data_dir_root) / "jaxdiff" / f"cifar10-{builder.version}"
    if not folder.exists():
        if prepared.is_readable(builder):
            try:
                return prepared.open_source(builder, split)
            except ValueError as error:
                warnings.warn(f"{error}; the registered archive is read instead", stacklevel=2)
        archive = download(builder)
        splits = {name: cifar_binary.read(archive, cifar_binary.CIFAR10, name) for name in cifar_binary.CIFAR10.splits}
        with contextlib.suppress(FileExistsError):  # where another process was faster
            records.write(folder, splits)
    return records.load(folder, split)


def download(builder: Any) -> Path:
    """Download the archive that is registered for a builder of one archive, unless it is in DATA_DIR/downloads.

    Returns: its path.
    Raises: ValueError when it is not the file that is registered; OSError when it cannot be had.
    Example: a file in DATA_DIR/downloads/manual is checked, and nothing is downloaded
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     by_hand = Path(folder, "downloads", "manual", "cifar-10-binary.tar.gz")
      ...     by_hand.parent.mkdir(parents=True)
      ...     by_hand.touch()
      ...     download(prepared.find_builder("cifar10", folder))
      Traceback (most recent call last):
      ValueError: ... has wrong checksum: ...: refused; delete it and try again
    """
    with needs("data", __name__):
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    ((url, info),) = builder.url_infos.items()
    downloads = Path(builder.data_dir_root) / "downloads"
    by_hand = downloads / "manual" / info.filename
    manager = tfds.download.DownloadManager(
        download_dir=downloads,
        manual_dir=by_hand.parent,
        url_infos=builder.url_infos,
        dataset_name=builder.name,
        force_checksums_validation=True,
    )
    try:
        return Path(manager.download(url))
    except NonMatchingChecksumError as error:
        raise ValueError(" ".join(f"{error}".split("\n")[:3]) + ": refused; delete it and try again") from None
    except (OSError, tfds.download.DownloadError) as error:  # what requests raises is an OSError
        raise OSError(
            f"{builder.name} is not in {builder.data_dir_root}, and {url} cannot be read ({error}): "
            f"put that file at {by_hand}"
        ) from error
