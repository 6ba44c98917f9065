"""What data fit a system, and what is said of others."""

import dataclasses
import importlib

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.harness import datasets, training
from experiments.harness.system import System
from jaxdiff.data import pipeline
from jaxdiff.data.pixels import to_float
from tests.support.image_set import files_of, pixels, write


class Wanted:
    """What `sources` looks at in a system."""

    shape, num_classes, data = (8, 8, 1), 3, None


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (files_of(pixels(3)), "has no labels, but the network has 3 classes: put images into a folder a class"),
        (files_of(pixels(3), [0, 1, 3]), "has a label 3, but the network has 3 classes"),
        (files_of(pixels(3), [0, 2, 2]), r"no image to train on of 1 of the network's 3 classes \(1\), which would be"),
        (files_of(pixels(3, (8, 8, 3)), [0, 1, 2]), r"has images \(8, 8, 3\), the network \(8, 8, 1\)"),
        (files_of(pixels(3), [0, 1, 2]) | {"00000/img00000002.png": b"?"}, r"img00000002.png is no whole image"),
    ],
)
def test_what_does_not_fit_the_system_is_refused(files, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        datasets.training(str(write(tmp_path / "set", files)), Wanted)
    with pytest.raises(
        ValueError, match="must be digits, cifar10, or a folder or zip of images, and there is no cifar-10"
    ):
        datasets.training("cifar-10", Wanted)


def test_a_set_without_labels_trains_a_system_without_classes(tmp_path):
    system = type("System", (), {"shape": (8, 8, 1), "num_classes": 0, "data": None})
    source = datasets.training(str(write(tmp_path / "set.zip", files_of(pixels(4)))), system)
    assert next(pipeline.batches(source, 4, 0))["label"].tolist() == [-1] * 4


@pytest.mark.parametrize("name", ["edm_cifar", "ddpm_cifar", "score_sde_cifar", "consistency_cifar"])
def test_a_path_gets_the_network_of_cifar10(name):
    module = importlib.import_module(f"experiments.{name}")
    flags = {"method": "ict"} if name == "consistency_cifar" else {}
    found = {"resolution": 32, "channels": 3, "classes": 10}
    path, cifar = (module.resolve(module.Config(data=data, **flags, **found)) for data in ("photos-32.zip", "cifar10"))
    assert dataclasses.replace(path, data="cifar10") == cifar
    assert module.system(path).shape == (32, 32, 3)


def test_bytes_train_as_their_floats_do(tmp_path):
    """A system of one parameter, trained on a zip file and on the same images as floats."""

    def loss(params, key, batch):
        assert batch["image"].dtype == np.float32
        return jnp.mean((params - batch["image"]) ** 2, axis=(1, 2, 3)) + 0 * batch["label"]

    system = System(lambda key: jnp.zeros(()), loss, None, None, None, shape=(8, 8, 1), num_classes=10)
    images = pixels(20)
    path = write(tmp_path / "set.zip", files_of(images, np.arange(20) % 10))
    of_path = datasets.training(str(path), system)
    of_floats = pipeline.ArraySource(image=to_float(images), label=np.arange(20, dtype=np.int32) % 10)
    found = []
    for name, source in (("bytes", of_path), ("floats", of_floats)):
        config = training.Training(workdir=tmp_path / name, batch_size=8, steps=5, warmup=0, grid_every=0)
        found.append(training.train(config, system, source, training.check(config)))
    assert float(found[0].params) == pytest.approx(float(found[1].params), rel=1e-5)  # compiled as two programs
    assert found[0].params != 0
