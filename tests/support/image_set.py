"""Small sets of images in the real formats: folders and zip files of PNG and JPEG, with dataset.json."""

import io
import json
import zipfile

import numpy as np
from PIL import Image


def pixels(num, shape=(8, 8, 1), seed=0):
    """Images uint8 [num, H, W, C]."""
    return np.random.default_rng(seed).integers(0, 256, (num, *shape), np.uint8)


def encoded(image, form="png", **options):
    """The file of an image [H, W, C] or of Pillow's."""
    stream = io.BytesIO()
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    image.save(stream, format=form, **options)
    return stream.getvalue()


def labelled(classes):
    """dataset.json for name: class."""
    return json.dumps({"labels": None if classes is None else [list(pair) for pair in classes.items()]}).encode()


def files_of(images, classes=None):
    """{name: content} as EDM's tools name them; classes: of every image, or None for no dataset.json."""
    names = [f"{i // 1000:05d}/img{i:08d}.png" for i in range(len(images))]
    files = {name: encoded(image) for name, image in zip(names, images, strict=True)}
    if classes is not None:
        files["dataset.json"] = labelled(dict(zip(names, map(int, classes), strict=True)))
    return files


def write(path, files):
    """A zip file or a folder of these files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path
