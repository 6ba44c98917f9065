"""The data set that --data names: digits, CIFAR-10, or a folder or zip of images."""

from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.system import System
from jaxdiff.data import cifar10, digits, folder
from jaxdiff.data.pipeline import ArraySource, Source


def training(data: str, system: System) -> Source:
    """Examples {"image", "label"} to train a system on; images are bytes or floats in [-1, 1].

    Args:
      data: "digits", "cifar10", or the path of a folder or zip of images, all of which are looked at once. A system
        with data of its own has those.
    Raises: ValueError when it is not there, an image is bad, or it is not what the system is made for.
    """
    source: Source
    if system.data is not None:
        source = system.data.source()
    elif data == "digits":
        half = digits.load("train")
        source = ArraySource(image=half.images, label=half.labels.astype(np.int32))
    elif data == "cifar10":
        source = cifar10.load("train")
    else:
        source = image_files(data, system.num_classes)
    shape = source[0]["image"].shape
    if shape != system.shape:
        raise ValueError(f"--data {data} has images {shape}, the network {system.shape}")
    if isinstance(source, folder.Images):
        folder.check(source, partial(tqdm, total=len(source), desc="checking images", unit="image", disable=None))
    return source


def image_files(path: str, num_classes: int) -> folder.Images:
    """A folder or zip of images with the labels that a network of so many classes needs.

    Raises: ValueError when it is not there, or has no labels or others.
    """
    if not Path(path).exists():
        raise ValueError(f"--data must be digits, cifar10, or a folder or zip of images, and there is no {path}")
    images = folder.load(path)
    if num_classes and images.labels is None:
        raise ValueError(f"{path} has no labels, but the network has {num_classes} classes: give it a dataset.json")
    if num_classes and images.labels is not None and images.labels.max() >= num_classes:
        raise ValueError(f"{path} has a label {images.labels.max()}, but the network has {num_classes} classes")
    return images
