"""The tool that makes sets of images, and training on what it made."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import dataset
from experiments.harness import cli, datasets, image_files, runs
from jaxdiff.data import cifar_binary, folder, pipeline
from tests.support import cifar_archive, tfds_files, tiny
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
        assert f"4 images 20x20x3, 2 classes: 0 cat (2), 1 dog (2), written to {tmp_path / dest}" in out.out
        assert "1 of them were smaller and have been enlarged" in out.err
        found = folder.load(tmp_path / dest)
        folder.check(found)
        assert found.labels.tolist() == [0, 0, 1, 1]
        np.testing.assert_array_equal(found[2]["image"][0, 0], (255, 255, 255))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "set", "set.zip"]


def test_broken_files_are_skipped_and_listed(tmp_path, monkeypatch, capfd):
    whole = encoded(pixels(1)[0])
    files = {f"{name}.png": whole for name in ("a/1", "b/1", "b/10", "b/2")}
    source = write(tmp_path / "set", files | {"a/0.png": b"?", "b/9.png": whole[:-50], "c/1.png": b"", "x.txt": b""})
    assert "a/0.png is no whole image" in refused(monkeypatch, capfd, "--source", source, "--dest", tmp_path / "out")
    for dest in (tmp_path / "out", tmp_path / "out.zip"):
        run(monkeypatch, "--source", source, "--dest", dest, "--skip-broken")
        said = capfd.readouterr()
        assert f"{source}: 7 images, 3 classes: 0 a (2), 1 b (4), 2 c (1)\n" in said.out
        assert f"left out of {source}: 1 not read as images (x.txt)\n" in said.out
        assert "3 broken files skipped (a/0.png, b/9.png, c/1.png): dataset.json lists them" in said.err
        found = folder.load(dest)
        assert (found.labels.tolist(), found.classes) == ([0, 1, 1, 1], ("a", "b", "c"))
        listed = json.loads(found.files.read("dataset.json"))["skipped"]
        assert [name for name, _ in listed] == [f"{name}.png" for name in ("a/0", "b/9", "c/1")]
        assert all(why.startswith("is no whole image (") for _, why in listed)
    only = write(tmp_path / "only", {"a.png": b"?"})
    error = refused(monkeypatch, capfd, "--source", only, "--dest", tmp_path / "none", "--skip-broken")
    assert "there are no images to write to" in error


def test_background_split_and_no_classes(tmp_path, monkeypatch, capfd):
    """On the command line as in training: train is taken of splits, and what is transparent is on white."""
    image = encoded(Image.new("RGBA", (8, 8), (1, 2, 3, 0)))
    source = write(tmp_path / "set", {"w/train/cat/1.png": image, "w/train/dog/1.png": image, "w/val/cat/2.png": image})
    for flags, colour, classes, num in (
        ((), (255, 255, 255), ("cat", "dog"), 2),
        (("--background", "#0a00ff"), (10, 0, 255), ("cat", "dog"), 2),
        (("--split", "val", "--no-classes"), (255, 255, 255), None, 1),
    ):
        dest = tmp_path / f"{len(list(tmp_path.iterdir()))}.zip"
        run(monkeypatch, "--source", source, "--dest", dest, *flags)
        found = folder.load(dest)
        assert (found[0]["image"][0, 0].tolist(), found.classes, len(found)) == (list(colour), classes, num)
    assert "left out of" in (out := capfd.readouterr().out)
    assert "1 of other splits (w/val/cat/2.png)" in out
    straight = datasets.training(str(source), type("System", (), {"shape": (8, 8, 3), "num_classes": 2, "data": None}))
    assert (straight.classes, straight[0]["image"][0, 0].tolist()) == (("cat", "dog"), [255, 255, 255])
    about = {"num": 2, "classes": {0: "cat", 1: "dog"}, "split": "train", "left_out": {"of other splits": 1}}
    assert image_files.about(straight) == about
    assert f"{source}: 2 images, those of train, 2 classes: 0 cat (1), 1 dog (1)\n" in capfd.readouterr().out


def test_of_several_frames_the_first_is_taken_and_said(tmp_path, monkeypatch, capfd):
    first, second = (Image.fromarray(image) for image in pixels(2, (8, 8, 3)))
    several = {"save_all": True, "append_images": [second]}
    files = {f"{form}.{form}": encoded(first, form, **several) for form in ("png", "tiff")}
    run(
        monkeypatch,
        "--source",
        write(tmp_path / "set", files | {"x.png": encoded(first)}),
        "--dest",
        tmp_path / "a.zip",
    )
    assert "2 of them have more frames, of which the first is taken" in capfd.readouterr().err
    batch = pipeline.take(folder.load(tmp_path / "a.zip"), np.arange(3))
    np.testing.assert_array_equal(batch["image"], np.stack([first] * 3))


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
    names = [f"class_{i}" for i in range(100)]
    said = {"fine_label_names.txt": "\n".join([*names, "", ""]).encode()}
    cifar_archive.pack(tmp_path / "cifar.tar.gz", said | cifar_archive.files(data, layout), layout.folder)
    flags = ["--source", tmp_path / "cifar.tar.gz", "--dest", tmp_path / "a.zip", "--split", "test"]
    run(monkeypatch, *flags)
    assert folder.load(tmp_path / "a.zip").classes == tuple(names)
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
        (["--source", "tfds:"], "tensorflow-datasets cannot read '': "),
        (["--source", "tfds:mnist:9.9.9"], "cannot be loaded at version 9.9.9, only"),
        (["--source", photos(tmp_path / "p")], "cat/2.jpg has 64 x 33 pixels, but"),
        (["--source", source, "--transform", "center-crop"], "--transform center-crop needs --width"),
        (["--source", source, "--height", "8"], "width and height must be positive, got 0, 8"),
        (["--source", source, "--max-images", "-1"], "--max-images must be at least 1, or 0, the default, got -1"),
        (["--source", write(tmp_path / "bad.zip", files_of(pixels(3)) | {"x.png": b"?"})], "x.png is no whole image"),
        (
            ["--source", write(tmp_path / "deep", {"a.tif": encoded(Image.new("F", (8, 8)), "tiff")})],
            "mode F, whose range",
        ),
        (["--source", source, "--max-pixels", "0"], "--max-pixels must be at least 1, got 0"),
        (
            ["--source", source, "--split", "test"],
            "a.zip has no folders of splits such as train and test, so split='test'",
        ),
        (["--source", source, "--background", "#ffffff00"], "--background must be an opaque colour such as white or"),
        (
            ["--source", source, "--max-pixels", "63"],
            "img00000000.png has 64 pixels, more than 63: make it smaller, or",
        ),
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
    names = [f"no. {i}" for i in range(1, 11)]  # in natural order: 10 is the last
    images = enumerate(pixels(30, (12, 10, 1)))
    write(tmp_path / "photos", {f"photos/{names[i % 10]}/{i}.png": encoded(image) for i, image in images})
    flags = ["--width", "8", "--channels", "1", "--transform", "center-crop", "--dest", tmp_path / "set.zip"]
    run(monkeypatch, "--source", tmp_path / "photos", *flags)
    with tiny.networks():
        called("edm_digits", "--smoke", "--data", tmp_path / "set.zip", "--workdir", tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= RUN_FILES
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["step"] == 8
    assert "frechet_pixels" in report["metrics"], "no digits, but pixels all the same"
    assert "svm_accuracy" not in report["metrics"]
    assert report["data"] == {"num": 30, "classes": {str(i): name for i, name in enumerate(names)}}
    assert runs.of_run(tmp_path / "run")[0].data == str(tmp_path / "set.zip")
    moved = (tmp_path / "set.zip").rename(tmp_path / "moved.zip")
    with tiny.networks():
        called("edm_digits", "--smoke", "--data", moved, "--workdir", tmp_path / "run")
        assert runs.of_run(tmp_path / "run")[0].data == str(moved), "the same images at another place"
        write(tmp_path / "photos", {"photos/no. 3/02.png": encoded(pixels(1, (12, 10, 1), seed=5)[0])})
        run(monkeypatch, "--source", tmp_path / "photos", *flags)
        with pytest.raises(cli.InputError, match="holds a run with data_digest"):
            called("edm_digits", "--smoke", "--data", tmp_path / "set.zip", "--workdir", tmp_path / "run")
