"""Images of one shape as raw bytes in ArrayRecord files: how a decoded data set is stored for the next run.

A folder holds one file a split, SPLIT.array_record, whose records are a label (int32, little-endian) and the image's
bytes, and info.json: the shape, and each file's length and SHA-256.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jaxdiff.atomic import atomic
from jaxdiff.imports import needs

with needs("data", __name__):
    import grain
    from array_record.python.array_record_module import ArrayRecordWriter

INFO = "info.json"
_LABEL = np.dtype("<i4")
# One record a group, as random access wants it; decompressing pixels takes longer than reading them.
_WRITING = "group_size:1,uncompressed"


class Records:
    """The records of a file as a source: image uint8 [H, W, C] and label int32."""

    def __init__(self, path: Path, shape: tuple[int, ...]):
        self.records, self.shape = grain.sources.ArrayRecordDataSource(str(path)), shape

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: array[0] for name, array in self.take(np.array([index])).items()}

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the examples of rows [B]: image [B, H, W, C] and label [B]."""
        joined = b"".join(self.records.__getitems__(rows.tolist()))
        found = np.frombuffer(joined, np.uint8).reshape(len(rows), _LABEL.itemsize + int(np.prod(self.shape)))
        image = found[:, _LABEL.itemsize :].reshape(-1, *self.shape)
        label = found[:, : _LABEL.itemsize].copy().view(_LABEL)[:, 0].astype(np.int32)
        return {"image": image, "label": label}


def write(folder: Path, splits: Mapping[str, tuple[NDArray[np.uint8], NDArray]]) -> None:
    """Write a data set, whole or not at all.

    Args:
      folder: to be made.
      splits: images uint8 [N, H, W, C] and integer labels [N] by name; one shape for all.
    Raises: FileExistsError when something is there already; ValueError for images of several shapes, or without labels.
    Example:
      >>> import tempfile
      >>> images, labels = np.zeros((3, 2, 2, 1), np.uint8), np.array([4, 5, 6])
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     write(Path(parent, "set"), {"train": (images, labels)})
      ...     load(Path(parent, "set"), "train").take(np.array([2, 0]))["label"].tolist()
      [6, 4]
    """
    shapes = {images.shape[1:] for images, _ in splits.values()}
    if len(shapes) != 1 or any(len(images) != len(labels) for images, labels in splits.values()):
        raise ValueError(f"images must be of one shape and have a label each, got {shapes}")
    with atomic(folder) as part:
        part.mkdir()
        files = {}
        for split, (images, labels) in splits.items():
            path = part / f"{split}.array_record"
            writer = ArrayRecordWriter(str(path), _WRITING)
            for image, label in zip(images, labels.astype(_LABEL), strict=True):
                writer.write(label.tobytes() + image.tobytes())
            writer.close()
            files[split] = {"num": len(images), "sha256": _digest(path)}
        (part / INFO).write_text(json.dumps({"shape": list(shapes.pop()), "splits": files}, indent=2) + "\n")


def load(folder: Path, split: str) -> Records:
    """Load a split of a data set that `write` wrote, after a check that every byte is still there.

    Args:
      folder: that `write` made.
      split: one of its splits.
    Raises: ValueError when there is no such split, or the files are not those that were written.
    Example:
      >>> load(Path("nowhere"), "train")
      Traceback (most recent call last):
      ValueError: nowhere is damaged: delete it, and it is made anew
    """
    path = folder / f"{split}.array_record"
    try:
        info = json.loads((folder / INFO).read_text())
        shape, splits = tuple(info["shape"]), info["splits"]
        if split not in splits:
            raise ValueError(f"split must be one of {', '.join(splits)}, got {split!r}")
        whole = _digest(path) == splits[split]["sha256"]
    except (OSError, KeyError, TypeError, json.JSONDecodeError):
        whole = False
    if not whole:
        raise ValueError(f"{folder} is damaged: delete it, and it is made anew")
    return Records(path, shape)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
