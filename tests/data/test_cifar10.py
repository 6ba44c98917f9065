"""CIFAR-10 in true files: as tensorflow-datasets prepares it, and as the archive that it registers."""

import http.server
import json
import sys
import threading
from functools import partial

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, downloader

from jaxdiff.data import cifar10, cifar_binary, pipeline, prepared
from tests.support import cifar_archive
from tests.support.tfds_files import write


@pytest.fixture(params=["array_record", "tfrecord"])
def prepared_images(tmp_path, request):
    """A data directory with five training images, and the images."""
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    write(tmp_path, "cifar10", images, form=request.param, classes=[f"class {i}" for i in range(10)])
    return tmp_path, images


def test_prepared_images_are_read_without_tensorflow(prepared_images):
    folder, images = prepared_images
    source = cifar10.load("train", folder)
    assert len(source) == 5
    example = source[3]
    assert example["image"].dtype == np.uint8
    np.testing.assert_array_equal(example["image"], images[3])
    assert example["label"] == 3
    batch = next(pipeline.batches(source, 5, seed=0))
    assert batch["image"].shape == (5, 32, 32, 3)
    assert sorted(batch["label"].tolist()) == [0, 1, 2, 3, 4]
    assert source.classes[3] == "class 3"
    assert "tensorflow" not in sys.modules
    assert not (folder / "jaxdiff").exists()


@pytest.fixture
def small(monkeypatch):
    """CIFAR-10 with four images a file."""
    layout = cifar_binary.CIFAR10._replace(rows={"train": 4, "test": 4})
    monkeypatch.setattr(cifar_binary, "CIFAR10", layout)
    return layout


@pytest.fixture
def served(tmp_path, small, monkeypatch):
    """A server of an archive that is registered instead of the true one; (data, requests, register)."""
    folder = tmp_path / "server"
    folder.mkdir()
    data = cifar_archive.images(small)
    digest = cifar_archive.pack(folder / "cifar-10-binary.tar.gz", cifar_archive.files(data, small))
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz"

    def register(checksum=digest, url=url):
        size = (folder / "cifar-10-binary.tar.gz").stat().st_size
        info = checksums.UrlInfo(size=size, checksum=checksum, filename="cifar-10-binary.tar.gz")
        monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {url: info})

    register()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)
    yield data, requests, register
    server.shutdown()
    server.server_close()


def test_absent_data_set_is_downloaded_once_and_kept(served, tmp_path, monkeypatch):
    data, requests, _ = served
    for split in ("train", "test"):
        for _ in range(2):
            source = cifar10.load(split, tmp_path / "tfds")
            images, labels = data[split]
            assert len(source) == len(labels)
            found = pipeline.take(source, np.arange(len(labels)))
            np.testing.assert_array_equal(found["image"], images)
            np.testing.assert_array_equal(found["label"], labels)
            assert source[1]["image"].dtype == np.uint8
    assert len(requests) == 1
    assert [path.name for path in (tmp_path / "tfds" / "jaxdiff").iterdir()] == ["cifar10-3.0.2"]
    assert "tensorflow" not in sys.modules


def as_riegeli(folder):
    """Says that a prepared data set is in another format."""
    (path,) = folder.glob("*/*/dataset_info.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "fileFormat": "riegeli"}))
    return path.parent


def test_where_what_is_prepared_cannot_be_read_the_archive_is(served, tmp_path):
    data, requests, _ = served
    write(tmp_path, "cifar10", np.zeros((5, 32, 32, 3), np.uint8))
    as_riegeli(tmp_path)
    np.testing.assert_array_equal(cifar10.load("train", tmp_path)[3]["image"], data["train"][0][3])
    assert len(requests) == 1


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "damaged"])
def test_where_what_is_prepared_is_damaged_the_archive_is_read(lost, served, tmp_path):
    write(tmp_path, "cifar10", np.zeros((5, 32, 32, 3), np.uint8), form="tfrecord")
    (path,) = (tmp_path / "cifar10").glob("*/*tfrecord*")
    path.unlink() if lost else path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=f"{path} is .*: prepare it anew; the registered archive is read instead"):
        source = cifar10.load("train", tmp_path)
    np.testing.assert_array_equal(source[3]["image"], served[0]["train"][0][3])


def test_a_data_set_in_another_format_or_damaged_says_what_to_do(tmp_path):
    write(tmp_path, "mnist", np.zeros((5, 28, 28, 1), np.uint8), form="tfrecord")
    assert len(prepared.load("mnist", "MNIST", "train", tmp_path)) == 5
    (path,) = (tmp_path / "mnist").glob("*/*tfrecord*")
    content = path.read_bytes()
    for damaged, says in (
        (content[:-3], "is damaged .a record ends at byte .*: prepare it anew"),
        (content[: len(content) // 5], "holds 1 of 5 examples: prepare it anew"),
        (b"", "holds 0 of 5 examples"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=says):
            prepared.load("mnist", "MNIST", "train", tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=f"{path} is not there, though mnist was prepared: prepare it anew"):
        prepared.load("mnist", "MNIST", "train", tmp_path)
    where = as_riegeli(tmp_path)
    with pytest.raises(
        ValueError, match=f"MNIST is prepared in {where} as riegeli, which is not read: remove that folder"
    ):
        prepared.load("mnist", "MNIST", "train", tmp_path)


def test_files_of_an_earlier_call_come_before_a_prepared_data_set(served, tmp_path):
    cifar10.load("train", tmp_path)
    write(tmp_path, "cifar10", np.zeros((5, 32, 32, 3), np.uint8))
    assert len(cifar10.load("train", tmp_path)) == 20


def test_another_file_than_the_registered_one_is_refused(served, tmp_path):
    served[2](checksum="0" * 64)
    with pytest.raises(ValueError, match=r"has wrong checksum.*Expected.*00000.*refused"):
        cifar10.load("train", tmp_path / "tfds")
    assert not (tmp_path / "tfds" / "jaxdiff").exists()


def test_an_archive_put_there_by_hand_is_checked_too(served, tmp_path):
    data, requests, _ = served
    manual = tmp_path / "tfds" / "downloads" / "manual"
    manual.mkdir(parents=True)
    archive = tmp_path / "server" / "cifar-10-binary.tar.gz"
    (manual / archive.name).write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="has wrong checksum"):
        cifar10.load("train", tmp_path / "tfds")
    (manual / archive.name).write_bytes(archive.read_bytes())
    np.testing.assert_array_equal(cifar10.load("test", tmp_path / "tfds")[3]["image"], data["test"][0][3])
    assert not requests


@pytest.mark.parametrize("path", [":1/cifar-10-binary.tar.gz", ":{port}/absent.tar.gz"], ids=["refused", "404"])
def test_where_the_url_cannot_be_read_it_says_where_to_put_the_archive(path, served, tmp_path):
    port = next(iter(tfds.builder_cls("cifar10").url_infos)).split(":")[2].split("/")[0]
    served[2](url=f"http://127.0.0.1{path.format(port=port)}")
    with pytest.raises(OSError, match=r"cannot be read .*put that file at .*downloads/manual/cifar-10-binary.tar.gz"):
        cifar10.load("train", tmp_path / "tfds")
    assert not (tmp_path / "tfds" / "jaxdiff").exists()


def test_an_archive_of_wrong_sizes_leaves_nothing(served, tmp_path):
    data, _, register = served
    archive = tmp_path / "server" / "cifar-10-binary.tar.gz"
    register(cifar_archive.pack(archive, cifar_archive.files(data) | {"test_batch.bin": b"short"}))
    with pytest.raises(ValueError, match=r"test_batch.bin must be one file of 12292 bytes, got 5"):
        cifar10.load("train", tmp_path / "tfds")
    assert not (tmp_path / "tfds" / "jaxdiff").exists()


def test_a_damaged_cache_is_refused(served, tmp_path):
    cifar10.load("train", tmp_path)
    path = tmp_path / "jaxdiff" / "cifar10-3.0.2" / "train.array_record"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cifar10-3.0.2 is damaged: delete it"):
        cifar10.load("train", tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="is damaged"):
        cifar10.load("train", tmp_path)
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'val'"):
        cifar10.load("val", tmp_path)


@pytest.mark.full
def test_in_full_size(tmp_path, monkeypatch):
    """60,000 images through the archive's true sizes."""
    data = cifar_archive.images()
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    path = manual / "cifar-10-binary.tar.gz"
    digest = cifar_archive.pack(path, cifar_archive.files(data))
    info = checksums.UrlInfo(size=path.stat().st_size, checksum=digest, filename=path.name)
    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {"https://absent.invalid/a.tar.gz": info})
    for split, (images, labels) in data.items():
        source = cifar10.load(split, tmp_path)
        rows = np.arange(0, len(labels), 97)
        found = pipeline.take(source, rows)
        assert len(source) == len(labels) == {"train": 50_000, "test": 10_000}[split]
        np.testing.assert_array_equal(found["image"], images[rows])
        np.testing.assert_array_equal(found["label"], labels[rows])
