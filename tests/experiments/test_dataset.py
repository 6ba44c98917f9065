"""The tool that makes sets of images, and training on what it made."""

import dataclasses
import importlib
import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import cli, dataset, runs, sources, stages
from experiments.system import System
from jaxdiff.data import cifar_binary, folder, pipeline
from jaxdiff.data.pixels import to_float
from tests.support import cifar_archive, tiny
from tests.support import prepared as tfds_files
from tests.support.commands import RUN_FILES, called
from tests.support.image_set import encoded, files_of, pixels, write


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["prog", *map(str, flags)])
    cli.run(dataset.main, dataset.Config, prog="experiments.dataset")


def refused(monkeypatch, capfd, *flags):
    """The one line that it ends with."""
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *flags)
    assert stop.value.code == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("experiments.dataset: error: ")]
    assert len(lines) == 1
    return lines[0]


def photos(path):
    """A folder of photographs of many sizes and modes, in two folders."""
    files = {
        "cat/1.png": encoded(pixels(1, (40, 30, 3))[0]),
        "cat/2.jpg": encoded(pixels(1, (33, 64, 1))[0], "jpeg"),
        "dog/1.png": encoded(Image.new("RGBA", (50, 50), (1, 2, 3, 0))),
        "dog/2.png": encoded(Image.new("P", (16, 16))),
    }
    return write(path, files)


def test_folder_of_photographs(tmp_path, monkeypatch, capfd):
    flags = ["--source", photos(tmp_path / "photos"), "--width", "20", "--transform", "center-crop"]
    for dest in ("set.zip", "set"):
        run(monkeypatch, *flags, "--dest", tmp_path / dest)
        out = capfd.readouterr()
        assert f"4 images 20x20x3, 2 classes, written to {tmp_path / dest}" in out.out
        assert "1 of them were smaller and have been enlarged" in out.err
        found = folder.load(tmp_path / dest)
        folder.check(found)
        assert found.labels.tolist() == [0, 0, 1, 1]
        np.testing.assert_array_equal(found[2]["image"][0, 0], (1, 2, 3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "set", "set.zip"]


def test_grey_set_again_with_its_labels(tmp_path, monkeypatch):
    images, classes = pixels(6, (8, 8, 1)), [3, 1, 2, 0, 1, 3]
    source = write(tmp_path / "a.zip", files_of(images, classes))
    run(monkeypatch, "--source", source, "--dest", tmp_path / "b.zip", "--channels", "1", "--max-images", "5")
    batch = pipeline.take(folder.load(tmp_path / "b.zip"), np.arange(5))
    np.testing.assert_array_equal(batch["image"], images[:5])
    assert batch["label"].tolist() == classes[:5]


def test_cifar_archive_and_prepared_data_set(tmp_path, monkeypatch):
    layout = cifar_binary.CIFAR100._replace(rows={"train": 7, "test": 4})
    monkeypatch.setattr(cifar_binary, "CIFAR100", layout)
    data = cifar_archive.images(layout)
    cifar_archive.pack(tmp_path / "cifar.tar.gz", cifar_archive.files(data, layout), layout.folder)
    flags = ["--source", tmp_path / "cifar.tar.gz", "--dest", tmp_path / "a.zip", "--split", "test"]
    run(monkeypatch, *flags)
    batch = pipeline.take(folder.load(tmp_path / "a.zip"), np.arange(4))
    np.testing.assert_array_equal(batch["image"], data["test"][0])
    np.testing.assert_array_equal(batch["label"], data["test"][1])

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "tfds"))
    images = pixels(5, (28, 28, 1))
    tfds_files.write(tmp_path / "tfds", "mnist", images)
    run(monkeypatch, "--source", "tfds:mnist", "--dest", tmp_path / "b", "--channels", "1")
    found = folder.load(tmp_path / "b")
    np.testing.assert_array_equal(found[4]["image"], images[4])
    assert found.labels.tolist() == [0, 1, 2, 3, 4]


def test_bad_input(tmp_path, monkeypatch, capfd):
    source, dest = write(tmp_path / "a.zip", files_of(pixels(3))), tmp_path / "out.zip"
    cases = [
        (["--source", tmp_path / "absent"], "--source must be a folder, a zip file, a CIFAR archive or tfds:NAME"),
        (["--source", "tfds:no_such_data"], "tensorflow-datasets knows no data set 'no_such_data'"),
        (["--source", photos(tmp_path / "p")], "cat/2.jpg has 64 x 33 pixels, but"),
        (["--source", source, "--transform", "center-crop"], "--transform center-crop needs --width"),
        (["--source", source, "--height", "8"], "width and height must be positive, got 0, 8"),
        (["--source", source, "--max-images", "-1"], "max_images must be 0 or more, got -1"),
        (["--source", write(tmp_path / "bad.zip", files_of(pixels(3)) | {"x.png": b"?"})], "x.png is no whole PNG"),
        (["--source", write(tmp_path / "deep", {"a.png": encoded(Image.new("I;16", (8, 8)))})], "more than 8 bits"),
        (["--source", source, "--width", "8", "--height", "9", "--transform", "center-crop-dhariwal"], "makes squares"),
    ]
    for flags, says in cases:
        assert says in refused(monkeypatch, capfd, *flags, "--dest", dest)
        assert not dest.exists()
        assert not list(tmp_path.glob(".*"))
    before = source.read_bytes()
    assert "nothing is written over" in refused(monkeypatch, capfd, "--source", tmp_path / "p", "--dest", source)
    assert source.read_bytes() == before
    cifar_archive.pack(tmp_path / "py.tar.gz", {"data_batch_1": b""}, "cifar-10-batches-py")
    error = refused(monkeypatch, capfd, "--source", tmp_path / "py.tar.gz", "--dest", dest)
    assert "get the binary version, not the pickles" in error


def test_training_on_what_was_made(tmp_path, monkeypatch):
    write(tmp_path / "photos", files_of(pixels(30, (12, 10, 1)), np.arange(30) % 10))
    flags = ["--width", "8", "--channels", "1", "--transform", "center-crop", "--dest", tmp_path / "set.zip"]
    run(monkeypatch, "--source", tmp_path / "photos", *flags)
    with tiny.networks():
        called("edm_digits", "--smoke", "--data", tmp_path / "set.zip", "--workdir", tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= RUN_FILES
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["step"], report["metrics"]) == (8, {})
    assert runs.of_run(tmp_path / "run")[0].data == str(tmp_path / "set.zip")


class Wanted:
    """What `sources` looks at in a system."""

    shape, num_classes, data = (8, 8, 1), 3, None


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (files_of(pixels(3)), "has no labels, but the network has 3 classes: give it a dataset.json"),
        (files_of(pixels(3), [0, 1, 3]), "has a label 3, but the network has 3 classes"),
        (files_of(pixels(3, (8, 8, 3)), [0, 1, 2]), r"has images \(8, 8, 3\), the network \(8, 8, 1\)"),
        (files_of(pixels(3), [0, 1, 2]) | {"00000/img00000002.png": b"?"}, r"img00000002.png is no whole PNG or JPEG"),
    ],
)
def test_what_does_not_fit_the_system_is_refused(files, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        sources.training(str(write(tmp_path / "set", files)), Wanted)
    with pytest.raises(
        ValueError, match="must be digits, cifar10, or a folder or zip of images, and there is no cifar-10"
    ):
        sources.training("cifar-10", Wanted)


def test_a_set_without_labels_trains_a_system_without_classes(tmp_path):
    system = type("System", (), {"shape": (8, 8, 1), "num_classes": 0, "data": None})
    source = sources.training(str(write(tmp_path / "set.zip", files_of(pixels(4)))), system)
    assert next(pipeline.batches(source, 4, 0))["label"].tolist() == [-1] * 4


@pytest.mark.parametrize("name", ["edm_cifar", "ddpm_cifar", "score_sde_cifar", "consistency_cifar"])
def test_a_path_gets_the_network_of_cifar10(name):
    module = importlib.import_module(f"experiments.{name}")
    flags = {"method": "ict"} if name == "consistency_cifar" else {}
    path, cifar = (module.resolve(module.Config(data=data, **flags)) for data in ("photos-32.zip", "cifar10"))
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
    of_path = sources.training(str(path), system)
    of_floats = pipeline.ArraySource(image=to_float(images), label=np.arange(20, dtype=np.int32) % 10)
    found = []
    for name, source in (("bytes", of_path), ("floats", of_floats)):
        config = stages.Training(workdir=tmp_path / name, batch_size=8, steps=5, warmup=0, grid_every=0)
        found.append(stages.train(config, system, source, stages.check(config)))
    assert float(found[0].params) == pytest.approx(float(found[1].params), rel=1e-5)  # compiled as two programs
    assert found[0].params != 0
