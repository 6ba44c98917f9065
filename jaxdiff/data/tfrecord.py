"""TFRecord files without TensorFlow: what tensorflow-datasets prepares by default."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

_BEFORE, _AFTER = 12, 4
"""Bytes of a record around its content: a length of eight (little-endian) with a checksum of four; a checksum."""


class Records:
    """The records of uncompressed TFRecord files, file after file. Threads may read at the same time.

    The checksums, CRC-32C, are not checked; images have their own.

    Raises: ValueError when a file does not consist of whole records, OSError when it cannot be read.
    Reference: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
    """

    def __init__(self, paths: Sequence[Path]):
        self._files: list[np.ndarray] = []
        places: list[tuple[int, int, int]] = []
        for path in paths:
            # What is mapped is read when it is asked for; nothing can be mapped of an empty file.
            content = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
            start = 0
            while start < len(content):
                length = int.from_bytes(content[start : start + 8].tobytes(), "little")
                places.append((len(self._files), start + _BEFORE, start + _BEFORE + length))
                start += _BEFORE + length + _AFTER
            if start != len(content):
                raise ValueError(
                    f"{path} is damaged (a record ends at byte {start}, the file at {len(content)}): prepare it anew"
                )
            self._files.append(content)
        self._places = np.array(places, np.int64).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        file, start, stop = self._places[index]
        return self._files[file][start:stop].tobytes()
