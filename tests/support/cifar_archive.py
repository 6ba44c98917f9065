"""CIFAR archives in the true format of the binary version, in small or in full size."""

import hashlib
import io
import tarfile

import numpy as np

from jaxdiff.data.cifar_binary import CIFAR10, PIXELS


def images(layout=CIFAR10, seed=0):
    """(images, labels) of every split, that compress well: one colour each, with a mark that tells the planes apart."""
    rng = np.random.default_rng(seed)
    found = {}
    for split, files in layout.splits.items():
        num = len(files) * layout.rows[split]
        image = np.broadcast_to(rng.integers(0, 256, (num, 1, 1, 3), np.uint8), (num, 32, 32, 3)).copy()
        image[:, 3, 5] = (1, 2, 3)
        found[split] = image, rng.integers(0, layout.classes, num, np.int32)
    return found


def files(data, layout=CIFAR10):
    """The bytes of every file."""
    found = {}
    for split, names in layout.splits.items():
        image, label = data[split]
        planes = image.transpose(0, 3, 1, 2).reshape(-1, PIXELS)
        coarse = [label[:, None] % 20] if layout.label_bytes == 2 else []
        rows = np.concatenate([*coarse, label[:, None], planes], axis=1).astype(np.uint8)
        found |= {name: part.tobytes() for name, part in zip(names, np.split(rows, len(names)), strict=True)}
    return found


def pack(path, contents, folder=CIFAR10.folder):
    """A .tar.gz of these files, as the authors' has: a folder and files next to the data. Returns its SHA-256."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        entry = tarfile.TarInfo(folder)
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        for name, content in {"batches.meta.txt": b"airplane\n", **contents}.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()
